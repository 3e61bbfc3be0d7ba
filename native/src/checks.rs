//! What a pattern alone cannot know: the checks of `gatebook.masking.checks`, by the same tables and patterns.

use std::collections::{HashMap, HashSet};

use pcre2::bytes::{CaptureLocations, Regex};

use crate::scan::{anchored, compiled, whole, Halt};

pub type Part = (usize, usize, Vec<u8>);

/// Tables and small patterns, as Python has them.
pub struct Lore {
    lengths: Vec<u32>, // of a card's number by its first four digits, a bit for each
    ibans: HashMap<Vec<u8>, usize>,
    words: HashSet<Vec<u8>>,
    random_bits: f64,
    plain_email: Regex,
    escape: Regex,
    image_scale: Regex,
    port: Regex,
    partly_covered: Regex,
    covered: Regex,
    placeholder: Regex,
    path: Regex,
    pub style_card: Regex,
    pub style_ssn: Regex,
    pub style_email: Regex,
}

/// A pattern and whether it is dotall, and caseless.
pub type Pattern = (String, bool, bool);

impl Lore {
    pub fn new(
        lengths: Vec<u32>,
        ibans: HashMap<Vec<u8>, usize>,
        words: HashSet<Vec<u8>>,
        random_bits: f64,
        patterns: &HashMap<String, Pattern>,
    ) -> Result<Lore, String> {
        type Make = fn(&str, bool, bool) -> Result<Regex, String>;
        let made = |name: &str, make: Make| {
            let (pattern, dotall, caseless) = patterns.get(name).ok_or(format!("no pattern {name}"))?;
            make(pattern, *dotall, *caseless)
        };
        if lengths.len() != 10_000 {
            return Err(format!("lengths of cards by {} beginnings", lengths.len()));
        }
        Ok(Lore {
            lengths,
            ibans,
            words,
            random_bits,
            plain_email: made("plain_email", compiled)?,
            escape: made("escape", anchored)?,
            image_scale: made("image_scale", whole)?,
            port: made("port", anchored)?,
            partly_covered: made("partly_covered", compiled)?,
            covered: made("covered", whole)?,
            placeholder: made("placeholder", whole)?,
            path: made("path", anchored)?,
            style_card: made("style_card", whole)?,
            style_ssn: made("style_ssn", whole)?,
            style_email: made("style_email", whole)?,
        })
    }

    /// Whether the digits, without separators, are a card number of an issuer and pass Luhn.
    pub fn is_card(&self, digits: &[u8]) -> bool {
        let Some(head) = digits.get(..4) else { return false };
        let index = head.iter().fold(0, |sum, byte| sum * 10 + usize::from(byte - b'0'));
        digits.len() < 32 && self.lengths[index] & (1 << digits.len()) != 0 && luhn(digits)
    }
}

pub enum Check {
    Marker { group: usize, cover: Vec<u8> },
    UrlPassword { value: usize },
    OpenAi,
    Authorization { scheme: usize, value: usize },
    Email { local: usize, domain: usize },
    Iban { rest: usize },
    Card,
    Ssn,
    Phone,
    Secret { strong: usize, closed: usize, sep: usize, bare: usize, values: Vec<usize> },
}

const VALUES: [&str; 8] = ["doubled", "double", "escaped", "deeper", "single", "open", "dollar", "bare"];

impl Check {
    pub fn new(check: &str, name: &str, pattern: &Regex) -> Result<Check, String> {
        let group = |wanted: &str| {
            let found = pattern.capture_names().iter().position(|known| known.as_deref() == Some(wanted));
            found.ok_or(format!("{name}: its pattern has no group {wanted}"))
        };
        Ok(match check {
            "marker" => Check::Marker { group: group("value").unwrap_or(0), cover: format!("<{name}>").into_bytes() },
            "url_password" => Check::UrlPassword { value: group("value")? },
            "openai" => Check::OpenAi,
            "authorization" => Check::Authorization { scheme: group("scheme")?, value: group("value")? },
            "email" => Check::Email { local: group("local")?, domain: group("domain")? },
            "iban" => Check::Iban { rest: group("rest")? },
            "card" => Check::Card,
            "ssn" => Check::Ssn,
            "phone" => Check::Phone,
            "secret" => Check::Secret {
                strong: group("strong")?,
                closed: group("closed")?,
                sep: group("sep")?,
                bare: group("bare")?,
                values: VALUES.iter().map(|value| group(value)).collect::<Result<_, _>>()?,
            },
            _ => return Err(format!("no such check: {check}")),
        })
    }

    /// The part of a match to replace, and what stands there instead; None if it is none.
    pub fn part(
        &self,
        lore: &Lore,
        data: &[u8],
        start: usize,
        end: usize,
        groups: &CaptureLocations,
    ) -> Result<Option<Part>, Halt> {
        let text = &data[start..end];
        let of = |group: usize| groups.get(group).map(|(from, to)| &data[from..to]);
        Ok(match self {
            Check::Marker { group, cover } => groups.get(*group).map(|(from, to)| (from, to, cover.clone())),
            Check::UrlPassword { value } => {
                let (from, to) = groups.get(*value).ok_or(Halt::Twin)?;
                let other = lore.port.is_match(&data[from..to])? || lore.partly_covered.is_match(&data[from..to])?;
                (!other).then(|| (from, to, b"<url-password>".to_vec()))
            }
            Check::OpenAi => {
                let key = &text[3..];
                let lower = key.iter().any(u8::is_ascii_lowercase);
                let mixed = has_digit(key) && lower && key.iter().any(u8::is_ascii_uppercase);
                mixed.then(|| (start, end, b"<openai-key>".to_vec()))
            }
            Check::Authorization { scheme, value } => {
                let (from, to) = groups.get(*value).ok_or(Halt::Twin)?;
                let sure = of(*scheme).is_some() || (to - from >= 16 && has_digit(&data[from..to]));
                sure.then(|| (from, to, b"<authorization>".to_vec()))
            }
            Check::Email { local, domain } => {
                let (local, domain) = (of(*local).ok_or(Halt::Twin)?, of(*domain).ok_or(Halt::Twin)?);
                email(lore, data, start, text, local, domain)?
            }
            Check::Iban { rest } => iban(lore, data, start, end, of(*rest).ok_or(Halt::Twin)?),
            Check::Card => card(lore, start, text),
            Check::Ssn => {
                let (area, group, serial) = (&text[..3], &text[4..6], &text[7..]);
                let given = area != b"000" && area != b"666" && area < &b"900"[..] && group != b"00" && serial != b"0000";
                given.then(|| (start, end, [b"***-**-", serial].concat()))
            }
            Check::Phone => phone(data, start, end),
            Check::Secret { strong, closed, sep, bare, values } => {
                let value = *values.iter().find(|value| groups.get(**value).is_some()).ok_or(Halt::Twin)?;
                let (from, to) = groups.get(value).ok_or(Halt::Twin)?;
                let found = &data[from..to];
                let is_bare = value == *bare;
                let none = if is_bare {
                    data.get(to) == Some(&b'(') || found.starts_with(b"//")
                } else {
                    found.first().is_some_and(|first| b",:;}]) \t".contains(first))
                };
                let sentence = is_bare
                    && of(*closed).is_none_or(<[u8]>::is_empty)
                    && !of(*sep).is_some_and(|sep| sep.contains(&b'='));
                let secret = !none && is_secret(lore, found, of(*strong), sentence)?;
                secret.then(|| (from, to, b"<secret>".to_vec()))
            }
        })
    }
}

pub fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            if place % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 }
        })
        .sum();
    sum % 10 == 0
}

fn without(text: &[u8], left_out: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| !left_out.contains(byte)).collect()
}

fn card(lore: &Lore, start: usize, text: &[u8]) -> Option<Part> {
    let digits = without(text, b" -");
    let visa = digits.len() == 19 && digits != text && digits[0] == b'4' && luhn(&digits);
    if lore.is_card(&digits) || visa {
        return Some((start, start + text.len(), card_covered(text)));
    }
    let shorter = &text[..text.iter().rposition(|byte| b" -".contains(byte)).unwrap_or(0)];
    let found = !shorter.is_empty() && lore.is_card(&without(shorter, b" -"));
    found.then(|| (start, start + shorter.len(), card_covered(shorter)))
}

/// A card number by its last four digits.
pub fn card_covered(value: &[u8]) -> Vec<u8> {
    let value = stripped(value);
    [b"************", &value[value.len().saturating_sub(4)..]].concat()
}

fn iban(lore: &Lore, data: &[u8], start: usize, end: usize, rest: &[u8]) -> Option<Part> {
    let head = &data[start..end];
    let wanted = lore.ibans.get(&head[..2])?.checked_sub(head.len())?;
    let compact = without(rest, b" ");
    if wanted == 0 || wanted > compact.len() {
        return None;
    }
    let (mut left, mut length) = (wanted, 0);
    while left > 0 {
        left -= usize::from(rest[length] != b' ');
        length += 1;
    }
    let follows = data.get(end + length).is_some_and(u8::is_ascii_alphanumeric);
    let number = compact[..wanted].iter().chain(head).fold(0u32, |sum, byte| match byte {
        b'0'..=b'9' => (sum * 10 + u32::from(byte - b'0')) % 97,
        _ => (sum * 100 + u32::from(byte.to_ascii_uppercase() - b'A') + 10) % 97,
    });
    (!follows && number == 1).then(|| (start, end + length, b"<iban>".to_vec()))
}

fn phone(data: &[u8], start: usize, end: usize) -> Option<Part> {
    let text = &data[start..end];
    let cover = b"<phone>".to_vec();
    if text[0] != b'+' {
        return Some((start, end, cover));
    }
    let most = if matches!(text.get(1), Some(b'1' | b'7')) { 11 } else { 15 };
    let least = if most < 15 { most } else { 9 };
    let (mut length, mut digits, mut at) = (0, 0, 0);
    while at < text.len() {
        let group = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if group == 0 {
            at += 1;
            continue;
        }
        at += group;
        digits += group;
        if digits > most {
            break;
        }
        length = if digits >= least { at } else { 0 };
    }
    let plain = without(text, b" .()/-");
    let exchange = |place: usize| matches!(plain.get(place), Some(b'0' | b'1'));
    let false_nanp = plain.starts_with(b"+1") && (exchange(2) || exchange(5));
    (length > 0 && !glued(data, start + length) && !false_nanp).then(|| (start, start + length, cover))
}

/// Whether a letter or digit follows, but for an extension's x.
fn glued(data: &[u8], at: usize) -> bool {
    let at = at + usize::from(data.get(at).is_some_and(|byte| b"-./".contains(byte)));
    let extension = data.get(at) == Some(&b'x') && data.get(at + 1).is_some_and(u8::is_ascii_digit);
    !extension && data.get(at).is_some_and(u8::is_ascii_alphanumeric)
}

fn email(lore: &Lore, data: &[u8], start: usize, text: &[u8], local: &[u8], domain: &[u8]) -> Result<Option<Part>, Halt> {
    if !text.is_ascii() && std::str::from_utf8(text).is_err() {
        let Some(inner) = lore.plain_email.captures(text)? else { return Ok(None) };
        let (local, domain) = (inner.get(1).ok_or(Halt::Twin)?, inner.get(2).ok_or(Halt::Twin)?);
        return address(lore, start + local.start(), local.as_bytes(), domain.as_bytes());
    }
    let escaped = start > 0 && data[start - 1] == b'\\';
    let skip = if escaped { lore.escape.find(local)?.map_or(0, |found| found.end()) } else { 0 };
    address(lore, start + skip, &local[skip..], domain)
}

fn address(lore: &Lore, start: usize, local: &[u8], domain: &[u8]) -> Result<Option<Part>, Halt> {
    let last = domain.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    let known = last.iter().all(u8::is_ascii_alphabetic) || !last.is_ascii() || last.to_ascii_lowercase().starts_with(b"xn--");
    if local.is_empty() || last.len() < 2 || !known || local == b"git" || lore.image_scale.is_match(domain)? {
        return Ok(None);
    }
    Ok(Some((start, start + local.len(), local_part(&local[..1]))))
}

/// What stands before the @ of an address.
pub fn local_part(first: &[u8]) -> Vec<u8> {
    let shown = first.first().filter(|byte| byte.is_ascii_alphanumeric());
    [shown.map_or(&b""[..], |_| first), b"***"].concat()
}

fn is_secret(lore: &Lore, value: &[u8], strong: Option<&[u8]>, sentence: bool) -> Result<bool, Halt> {
    if lore.covered.is_match(value)? || lore.placeholder.is_match(value)? || lore.words.contains(&value.to_ascii_lowercase()) {
        return Ok(false);
    }
    let Some(strong) = strong else {
        return Ok(value.len() >= 16 && mixed(value) && entropy(value) >= lore.random_bits);
    };
    if strong.eq_ignore_ascii_case(b"pwd") && lore.path.is_match(value)? {
        return Ok(false);
    }
    Ok(if sentence { value.len() >= 6 && mixed(value) } else { value.len() >= 3 })
}

/// Bits per byte by the frequency of each byte in the value.
fn entropy(value: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    value.iter().for_each(|byte| counts[*byte as usize] += 1);
    let total = value.len() as f64;
    -counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / total).map(|part| part * part.log2()).sum::<f64>()
}

fn has_digit(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit)
}

fn mixed(value: &[u8]) -> bool {
    let letters = value.iter().any(|byte| byte.is_ascii_alphabetic() || *byte > 127);
    letters && value.iter().any(|byte| byte.is_ascii_digit() || b"!@#$%^*+=~?".contains(byte))
}

/// Without the spaces that Python strips.
pub fn stripped(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|byte| !space(*byte)).map_or(0, |at| at + 1);
    left_stripped(&value[..end])
}

pub fn left_stripped(value: &[u8]) -> &[u8] {
    &value[value.iter().position(|byte| !space(*byte)).unwrap_or(value.len())..]
}

fn space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}
