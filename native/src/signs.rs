//! Where a detector may find something, asked of a whole run of rows at once.
//!
//! A sign is cheap and holds wherever one of the detector's hints does, so that most rows are never asked for hints. Signs
//! are literals that the table names (its `marks`, looked for in the lower-cased bytes), and for numbers the runs of bytes
//! that they consist of. A detector without either is asked of every row.

use crate::{numbers, shapes};
use aho_corasick::{packed, AhoCorasick, MatchKind};

const CARD: usize = 13; // digits
const SSN: usize = 9;
const PHONE: usize = 6; // the fewest digits of a run in which a phone number's hint can hold

/// Notes which rows hold a sign. `ends` are the rows' ends, ascending, counted from `base` before the first; each search begins
/// with `again`.
pub struct Marker<'a> {
    base: usize,
    ends: &'a [usize],
    masks: &'a mut [u32],
    at: usize,
}

impl<'a> Marker<'a> {
    pub fn new(base: usize, ends: &'a [usize], masks: &'a mut [u32]) -> Self {
        Marker { base, ends, masks, at: 0 }
    }

    fn again(&mut self) {
        self.at = 0;
    }

    fn hit(&mut self, place: usize, mask: u32) {
        while self.ends[self.at] <= place + self.base {
            self.at += 1;
        }
        self.masks[self.at] |= mask;
    }
}

/// Literals that are looked for in one pass.
///
/// A pass is fast while hardly any place passes its first test, of three bytes by their halves; with too many literals most
/// places do. So those with a `-` or `_`, as tokens have, go by the three bytes that end with it, and the words by themselves.
struct Literals {
    find: Find,
    candidates: Vec<Vec<Literal>>, // that may stand where a pattern was found
}

/// The whole of it, where its pattern begins in it, and the detectors that it is a sign of.
type Literal = (Vec<u8>, usize, u32);

enum Find {
    Packed(packed::Searcher),
    Automaton(AhoCorasick),
}

const WINDOW: usize = 3;

impl Literals {
    /// None for no literals. A pattern has at most `window` bytes.
    fn new(literals: &[Literal], window: usize) -> Result<Option<Literals>, String> {
        let cut = |(literal, place, _): &Literal| literal[*place..literal.len().min(place.saturating_add(window))].to_vec();
        let mut patterns: Vec<Vec<u8>> = literals.iter().map(cut).collect();
        patterns.sort();
        patterns.dedup();
        if patterns.is_empty() {
            return Ok(None);
        }
        // One pattern may begin another, and a search tells of one: so all that begin with the same byte are looked at.
        let same = |pattern: &Vec<u8>| literals.iter().filter(|(literal, place, _)| literal[*place] == pattern[0]).cloned().collect();
        let candidates = patterns.iter().map(same).collect();
        let find = match (built(&patterns, window > WINDOW), built(&patterns, false)) {
            (Some(searcher), _) | (None, Some(searcher)) => Find::Packed(searcher),
            (None, None) => Find::Automaton(
                AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(&patterns).map_err(|fault| fault.to_string())?,
            ),
        };
        Ok(Some(Literals { find, candidates }))
    }

    /// Mark where they stand in the lower-cased bytes. Patterns may overlap, so the search goes on behind each one's first byte.
    fn mark(&self, lower: &[u8], marker: &mut Marker) {
        marker.again();
        let mut at = 0;
        while let Some((pattern, start)) = self.next(lower, at) {
            let stands = |literal: &[u8], place: usize| start >= place && lower[start - place..].starts_with(literal);
            let here = self.candidates[pattern].iter().filter(|(literal, place, _)| stands(literal, *place));
            let mask = here.fold(0, |mask, (_, _, bit)| mask | bit);
            if mask != 0 {
                marker.hit(start, mask);
            }
            at = start + 1;
        }
    }

    fn next(&self, lower: &[u8], at: usize) -> Option<(usize, usize)> {
        match &self.find {
            Find::Packed(searcher) => searcher
                .find_in(lower, aho_corasick::Span::from(at..lower.len()))
                .map(|found| (found.pattern().as_usize(), found.start())),
            Find::Automaton(searcher) => searcher
                .find(aho_corasick::Input::new(lower).span(at..lower.len()))
                .map(|found| (found.pattern().as_usize(), found.start())),
        }
    }
}

/// `wide`: with as many groups of literals as the machine allows.
fn built(patterns: &[Vec<u8>], wide: bool) -> Option<packed::Searcher> {
    let mut config = packed::Config::new();
    config.match_kind(packed::MatchKind::LeftmostFirst);
    if wide {
        config.only_teddy(true).only_teddy_fat(Some(true));
    }
    config.builder().extend(patterns).build()
}

/// What a text must have for a detector to find anything in it; a cheap no for the other cells of a row with a sign.
enum Need {
    Nothing,
    Byte(u8),
    Digits(usize),
}

pub struct Signs {
    always: u32,
    needs: Vec<Need>,
    singles: Vec<(u8, u32)>,
    literals: Vec<Literals>,
    card: u32,
    dial: u32,
    ssn: u32,
    phone: u32,
    iban: u32,
}

impl Signs {
    /// `marks` of each detector by its rank, and its name.
    pub fn new(detectors: &[(String, Vec<Vec<u8>>)]) -> Result<Signs, String> {
        let mut made = Signs {
            always: 0,
            needs: Vec::new(),
            singles: Vec::new(),
            literals: Vec::new(),
            card: 0,
            dial: 0,
            ssn: 0,
            phone: 0,
            iban: 0,
        };
        let (mut tokens, mut words) = (Vec::new(), Vec::new());
        for (rank, (name, marks)) in detectors.iter().enumerate() {
            let bit = 1u32 << rank;
            made.needs.push(match (name.as_str(), marks.as_slice()) {
                ("card", _) => Need::Digits(CARD),
                ("ssn", _) => Need::Digits(SSN),
                ("phone", _) => Need::Digits(PHONE),
                ("iban", _) => Need::Digits(2),
                (_, [mark]) if mark.len() == 1 => Need::Byte(mark[0]),
                _ => Need::Nothing,
            });
            match name.as_str() {
                "card" => made.card |= bit,
                "ssn" => made.ssn |= bit,
                "iban" => made.iban |= bit,
                "phone" => {
                    made.phone |= bit;
                    made.dial |= bit;
                }
                _ if marks.is_empty() => made.always |= bit,
                _ => {}
            }
            for mark in marks {
                match mark.as_slice() {
                    [] => made.always |= bit,
                    [one] => made.single(*one, bit),
                    _ => match window(mark) {
                        Some(place) => tokens.push((mark.clone(), place, bit)),
                        None => words.push((mark.clone(), 0, bit)),
                    },
                }
            }
        }
        made.literals.extend(Literals::new(&tokens, WINDOW)?);
        made.literals.extend(Literals::new(&words, usize::MAX)?);
        Ok(made)
    }

    fn single(&mut self, byte: u8, bit: u32) {
        match self.singles.iter_mut().find(|(known, _)| *known == byte) {
            Some((_, mask)) => *mask |= bit,
            None => self.singles.push((byte, bit)),
        }
    }

    /// Whether the detector of this rank may find anything in the text.
    pub fn possible(&self, rank: usize, text: &[u8]) -> bool {
        match self.needs[rank] {
            Need::Nothing => true,
            Need::Byte(byte) => memchr::memchr(byte, text).is_some(),
            Need::Digits(least) => text.len() >= least && text.iter().filter(|byte| byte.is_ascii_digit()).count() >= least,
        }
    }

    /// Mark every row that holds a sign. `lower` is scratch.
    pub fn mark(&self, data: &[u8], lower: &mut Vec<u8>, marker: &mut Marker) {
        self.mark_words(data, lower, marker);
        marker.again();
        self.each_number(data, |start, _, mask| marker.hit(start, mask));
    }

    /// Tell of each run that holds signs of numbers: its beginning, its end, and which.
    fn each_number(&self, data: &[u8], mut tell: impl FnMut(usize, usize, u32)) {
        if self.numbers() != 0 {
            numbers::runs(data, |start, end| {
                let mask = self.number(data, start, end);
                if mask != 0 {
                    tell(start, end, mask);
                }
            });
        }
    }

    /// All signs but those of numbers.
    fn mark_words(&self, data: &[u8], lower: &mut Vec<u8>, marker: &mut Marker) {
        if self.always != 0 {
            marker.masks.iter_mut().for_each(|mask| *mask |= self.always);
        }
        for (byte, mask) in &self.singles {
            marker.again();
            memchr::memchr_iter(*byte, data).for_each(|place| marker.hit(place, *mask));
        }
        if !self.literals.is_empty() {
            lower.clear();
            lower.extend_from_slice(data);
            lower.make_ascii_lowercase();
            self.literals.iter().for_each(|literals| literals.mark(lower, marker));
        }
        if self.iban != 0 {
            marker.again();
            numbers::accounts(data, |place| marker.hit(place, self.iban));
        }
    }

    /// The signs of one piece of data.
    pub fn of(&self, data: &[u8], lower: &mut Vec<u8>) -> u32 {
        let mut masks = [0u32];
        self.mark(data, lower, &mut Marker::new(0, &[usize::MAX], &mut masks));
        masks[0]
    }

    /// The detectors whose findings lie within one run of the bytes that numbers are written with.
    pub fn numbers(&self) -> u32 {
        self.card | self.dial | self.ssn | self.phone
    }

    /// The signs of the other detectors, and the runs that hold those of numbers: beginning, end, and which.
    pub fn with_runs(&self, data: &[u8], lower: &mut Vec<u8>, runs: &mut Vec<(usize, usize, u32)>) -> u32 {
        let mut masks = [0u32];
        self.mark_words(data, lower, &mut Marker::new(0, &[usize::MAX], &mut masks));
        self.each_number(data, |start, end, mask| runs.push((start, end, mask)));
        masks[0] & !self.numbers()
    }

    /// Of the numbers that a run holds the signs of, those that their patterns may find there: cheaper than to ask these.
    pub fn likely(&self, data: &[u8], start: usize, end: usize, mask: u32) -> u32 {
        let mut left = mask;
        if mask & self.card != 0 && !shapes::may_be_card(data, start, end) {
            left &= !self.card;
        }
        if mask & self.phone != 0 && !shapes::may_be_phone(data, start, end) {
            left &= !self.phone;
        }
        left
    }

    /// What a run of digits and the signs between them may be.
    fn number(&self, data: &[u8], start: usize, end: usize) -> u32 {
        let found = shapes::kinds(data, start, end);
        let bits = [(found.card, self.card), (found.dialled, self.dial), (found.ssn, self.ssn), (found.phone, self.phone)];
        bits.iter().fold(0, |mask, (holds, bit)| if *holds { mask | bit } else { mask })
    }
}

/// Where the window of a literal begins that ends with `-` or `_`; none in one that has no such.
fn window(literal: &[u8]) -> Option<usize> {
    let end = literal.iter().rposition(|byte| b"-_".contains(byte))? + 1;
    let begin = end.checked_sub(WINDOW)?;
    literal[begin..end - 1].iter().all(|byte| !b"-_".contains(byte)).then_some(begin)
}
