//! Binary forms of values, and what JSON's escapes hide: `binary_forms` and a part of `json_forms`.

use std::ops::Range;

const DIMENSIONS: i32 = 6;

pub fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(data.get(at..at + 2)?.try_into().ok()?))
}

pub fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

pub fn i32_at(data: &[u8], at: usize) -> Option<i32> {
    u32_at(data, at).map(|found| found as i32)
}

/// Whether it is a text: UTF-8 without control characters.
pub fn readable(cell: &[u8]) -> bool {
    let control = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0c | 0x0e..=0x1f);
    !cell.iter().any(control) && std::str::from_utf8(cell).is_ok()
}

/// The digits of a binary numeric if it is a whole number, not negative; nothing if it is another; None if it is damaged.
pub fn whole_number(cell: &[u8]) -> Option<Vec<u8>> {
    let count = usize::from(u16_at(cell, 0)?);
    let weight = i32::from(u16_at(cell, 2)? as i16);
    let sign = u16_at(cell, 4)?;
    if cell.len() < 8 || cell.len() != 8 + 2 * count {
        return None;
    }
    let groups: Vec<u16> = cell[8..].chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    if !matches!(sign, 0 | 0x4000 | 0xC000 | 0xD000 | 0xF000) || groups.iter().any(|group| *group > 9999) {
        return None;
    }
    let fraction = usize::try_from(weight + 1).unwrap_or(0).min(groups.len());
    if sign != 0 || !(3..=4).contains(&weight) || groups[fraction..].iter().any(|group| *group != 0) {
        return Some(Vec::new());
    }
    let digits: String = (0..=weight as usize).map(|place| format!("{:04}", groups.get(place).unwrap_or(&0))).collect();
    Some(digits.trim_start_matches('0').as_bytes().to_vec())
}

/// Where the head of a binary array ends, and its elements, None for NULL; None if it is damaged or holds another type.
pub fn elements(cell: &[u8], element: u32) -> Option<(usize, Vec<Option<Range<usize>>>)> {
    let dimensions = i32_at(cell, 0)?;
    let gaps = i32_at(cell, 4)?;
    let oid = u32_at(cell, 8)?;
    if oid != element || !(0..=DIMENSIONS).contains(&dimensions) || !(0..=1).contains(&gaps) {
        return None;
    }
    let end = 12 + 8 * dimensions as usize;
    if end > cell.len() {
        return None;
    }
    let mut count: u128 = u128::from(dimensions > 0);
    for place in (12..end).step_by(8) {
        // More elements than bytes are damage, whatever the exact number.
        count = count.saturating_mul(i32_at(cell, place)?.max(0) as u128);
    }
    let mut values = Vec::new();
    let mut at = end;
    while at + 4 <= cell.len() && (values.len() as u128) < count {
        let length = i32_at(cell, at)?;
        at += 4;
        if length < -1 || length as i64 > (cell.len() - at) as i64 {
            return None;
        }
        let size = length.max(0) as usize;
        values.push((length >= 0).then_some(at..at + size));
        at += size;
    }
    (at == cell.len() && values.len() as u128 == count).then_some((end, values))
}

/// The text with the escapes of ASCII characters and slashes replaced by what they stand for.
pub fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &text[at..]) {
        plain.extend_from_slice(&text[at..at + found]);
        at += found;
        match text.get(at + 1) {
            Some(b'\\') => {
                plain.extend_from_slice(b"\\\\");
                at += 2;
            }
            Some(b'/') => {
                plain.push(b'/');
                at += 2;
            }
            _ => match escape(&text[at..]) {
                Some(0x22 | 0x5c | 0x7f) => {
                    plain.extend_from_slice(&text[at..at + 6]);
                    at += 6;
                }
                Some(byte) => {
                    plain.push(byte);
                    at += 6;
                }
                None => {
                    plain.push(b'\\');
                    at += 1;
                }
            },
        }
    }
    plain.extend_from_slice(&text[at..]);
    plain
}

/// The byte of an escape such as \u0040, from 0x20 to 0x7f.
fn escape(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"\\u00")?.get(..2)?;
    let (high, low) = ((digits[0] as char).to_digit(16)?, (digits[1] as char).to_digit(16)?);
    (2..=7).contains(&high).then_some((high * 16 + low) as u8)
}
