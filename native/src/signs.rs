//! Where a detector may find something, asked of a whole run of rows at once.
//!
//! A sign is cheap and holds wherever one of the detector's hints does, so that most rows are never asked for hints. Signs
//! are literals that the table names (its `marks`, looked for in the lower-cased bytes), and for numbers the runs of bytes
//! that they consist of. A detector without either is asked of every row.

use aho_corasick::{packed, AhoCorasick, MatchKind};

const DIALLED: usize = 8; // digits behind a plus
const CARD: usize = 13; // digits
const SSN: usize = 9;
const PHONE: usize = 6; // the fewest digits of a run in which a phone number's hint can hold
const NUMBER_RUN: usize = 7; // bytes of the shortest run that a number's hint can hold in

/// Bytes that numbers are written with, and those of account numbers.
const NUMBER: [bool; 256] = class(b"0123456789 ()./+-");
const ACCOUNT: [bool; 256] = class(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ ");

const fn class(bytes: &[u8]) -> [bool; 256] {
    let mut found = [false; 256];
    let mut at = 0;
    while at < bytes.len() {
        found[bytes[at] as usize] = true;
        at += 1;
    }
    found
}

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

enum Literals {
    None,
    Packed(packed::Searcher),
    Automaton(AhoCorasick),
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
    literals: Literals,
    masks: Vec<u32>,                           // of each literal
    by_first: Vec<Vec<(Vec<u8>, u32)>>, // literals by their first byte
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
            literals: Literals::None,
            masks: Vec::new(),
            by_first: vec![Vec::new(); 256],
            card: 0,
            dial: 0,
            ssn: 0,
            phone: 0,
            iban: 0,
        };
        let mut literals: Vec<Vec<u8>> = Vec::new();
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
                    _ => {
                        literals.push(mark.clone());
                        made.masks.push(bit);
                        made.by_first[mark[0] as usize].push((mark.clone(), bit));
                    }
                }
            }
        }
        if !literals.is_empty() {
            let packed = packed::Config::new().match_kind(packed::MatchKind::LeftmostFirst).builder().extend(&literals).build();
            made.literals = match packed {
                Some(searcher) => Literals::Packed(searcher),
                None => Literals::Automaton(
                    AhoCorasick::builder().match_kind(MatchKind::Standard).build(&literals).map_err(|fault| fault.to_string())?,
                ),
            };
        }
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
        if self.always != 0 {
            marker.masks.iter_mut().for_each(|mask| *mask |= self.always);
        }
        for (byte, mask) in &self.singles {
            marker.again();
            memchr::memchr_iter(*byte, data).for_each(|place| marker.hit(place, *mask));
        }
        if !self.masks.is_empty() {
            marker.again();
            lower.clear();
            lower.extend_from_slice(data);
            lower.make_ascii_lowercase();
            self.mark_literals(lower, marker);
        }
        if self.card | self.dial | self.ssn | self.phone != 0 {
            marker.again();
            runs(data, |start, end| {
                let mask = self.number(&data[start..end]);
                if mask != 0 {
                    marker.hit(start, mask);
                }
            });
        }
        if self.iban != 0 {
            marker.again();
            accounts(data, |place| marker.hit(place, self.iban));
        }
    }

    /// The signs of one piece of data.
    pub fn of(&self, data: &[u8], lower: &mut Vec<u8>) -> u32 {
        let mut masks = [0u32];
        self.mark(data, lower, &mut Marker::new(0, &[usize::MAX], &mut masks));
        masks[0]
    }

    fn mark_literals(&self, lower: &[u8], marker: &mut Marker) {
        match &self.literals {
            Literals::None => {}
            Literals::Packed(searcher) => {
                let mut at = 0;
                // Literals may overlap, so the search goes on behind the first byte of what was found.
                while let Some(found) = searcher.find_in(lower, aho_corasick::Span::from(at..lower.len())) {
                    let rest = &lower[found.start()..];
                    let same = self.by_first[rest[0] as usize].iter().filter(|(literal, _)| rest.starts_with(literal));
                    marker.hit(found.start(), same.fold(0, |mask, (_, bit)| mask | bit));
                    at = found.start() + 1;
                }
            }
            Literals::Automaton(searcher) => {
                for found in searcher.find_overlapping_iter(lower) {
                    marker.hit(found.end() - 1, self.masks[found.pattern().as_usize()]);
                }
            }
        }
    }

    /// What a run of digits and the signs between them may be.
    fn number(&self, run: &[u8]) -> u32 {
        let digits = run.iter().filter(|byte| byte.is_ascii_digit()).count();
        if digits < PHONE {
            return 0;
        }
        let mut mask = 0;
        if digits >= CARD && longest(run, |byte| byte == b' ' || byte == b'-') >= CARD {
            mask |= self.card;
        }
        if digits == run.len() {
            return mask;
        }
        if digits >= DIALLED && dialled(run) {
            mask |= self.dial;
        }
        for (at, byte) in run.iter().enumerate() {
            match byte {
                b'-' => {
                    if shape(run, at, b"000", b"-00-0000") {
                        mask |= self.ssn;
                    }
                    if shape(run, at, b"000", b"-000-0000") {
                        mask |= self.phone;
                    }
                }
                b'.' => {
                    if shape(run, at, b"000", b".000.0000") || shape(run, at, b"", b".00.00.00.00") {
                        mask |= self.phone;
                    }
                }
                b')' => {
                    let after = at + 1 + usize::from(run.get(at + 1) == Some(&b' '));
                    let spaced = shape(run, at, b"000", b")") && number_of(run, after, b"000") && {
                        matches!(run.get(after + 3), Some(b'-' | b'.' | b' ')) && number_of(run, after + 4, b"0000")
                    };
                    if spaced || area_code(run, after) {
                        mask |= self.phone;
                    }
                }
                b' ' => {
                    if area_code(run, at + 1) || shape(run, at, b"", b" 00 00 00 00") {
                        mask |= self.phone;
                    }
                }
                b'/' => {
                    if area_code(run, at + 1 + usize::from(run.get(at + 1) == Some(&b' '))) {
                        mask |= self.phone;
                    }
                }
                _ => {}
            }
        }
        mask
    }
}

/// Every run of at least `NUMBER_RUN` bytes that numbers are written with. What is no such run is passed over in blocks.
fn runs(data: &[u8], mut each: impl FnMut(usize, usize)) {
    let mut from = 0;
    while let Some(at) = run(data, from) {
        let end = at + data[at..].iter().take_while(|byte| NUMBER[**byte as usize]).count();
        each(at, end);
        from = end;
    }
}

/// Where the next such run begins; the byte before `from` is in none.
fn run(data: &[u8], from: usize) -> Option<usize> {
    const BLOCK: usize = 32;
    let mut at = from;
    while let Some(block) = data.get(at..at + BLOCK + NUMBER_RUN - 1) {
        let mut within = [false; BLOCK + NUMBER_RUN - 1];
        for (found, byte) in within.iter_mut().zip(block) {
            *found = ((byte.wrapping_sub(b'(') <= b'9' - b'(') & (*byte != b'*') & (*byte != b',')) | (*byte == b' ');
        }
        for step in [1, 2, 3] {
            for place in 0..within.len() - step {
                within[place] &= within[place + step]; // of 2 bytes, of 4, and of 7
            }
        }
        if let Some(found) = within[..BLOCK].iter().position(|found| *found) {
            return Some(at + found);
        }
        at += BLOCK;
    }
    (at..data.len()).find(|at| data.get(*at..at + NUMBER_RUN).is_some_and(|bytes| bytes.iter().all(|byte| NUMBER[*byte as usize])))
}

/// Where account numbers may begin: two capital letters and two digits, and what an account number needs behind them.
fn accounts(data: &[u8], mut each: impl FnMut(usize)) {
    const BLOCK: usize = 32;
    let begins = |head: &[u8]| {
        let letters = head[0].is_ascii_uppercase() & head[1].is_ascii_uppercase();
        letters & head[2].is_ascii_digit() & head[3].is_ascii_digit()
    };
    let mut at = 0;
    while at + 4 <= data.len() {
        let last = (data.len() - 3).min(at + BLOCK);
        if let Some(block) = data.get(at..at + BLOCK + 3) {
            if !(0..BLOCK).fold(false, |found, place| found | begins(&block[place..place + 4])) {
                at += BLOCK;
                continue;
            }
        }
        (at..last).filter(|place| begins(&data[*place..*place + 4]) && account(&data[*place..])).for_each(&mut each);
        at = last;
    }
}

/// The most digits in a row, some bytes between them not counted.
fn longest(run: &[u8], between: impl Fn(u8) -> bool) -> usize {
    let (mut most, mut count) = (0, 0);
    for byte in run {
        if byte.is_ascii_digit() {
            count += 1;
            most = most.max(count);
        } else if !between(*byte) {
            count = 0;
        }
    }
    most
}

/// Whether enough digits follow a plus.
fn dialled(run: &[u8]) -> bool {
    let mut count = None;
    for byte in run {
        count = match (byte, count) {
            (b'+', _) => Some(0),
            (b'0'..=b'9', Some(known)) if known + 1 == DIALLED => return true,
            (b'0'..=b'9', Some(known)) => Some(known + 1),
            (_, known) => known,
        };
    }
    false
}

/// Whether zeros of the shape stand for digits of the run from there on, and other bytes for themselves.
fn number_of(run: &[u8], at: usize, shape: &[u8]) -> bool {
    run.len() >= at + shape.len()
        && shape.iter().zip(&run[at..]).all(|(wanted, byte)| if *wanted == b'0' { byte.is_ascii_digit() } else { wanted == byte })
}

fn shape(run: &[u8], at: usize, before: &[u8], from: &[u8]) -> bool {
    at >= before.len() && number_of(run, at, from) && number_of(run, at - before.len(), before)
}

/// Six digits, or three and three, or four and three, as behind an area code.
fn area_code(run: &[u8], at: usize) -> bool {
    number_of(run, at, b"000000") || number_of(run, at, b"000 000") || number_of(run, at, b"0000 000")
}

/// Behind two capital letters and two digits, eleven more letters or digits, with single spaces between.
fn account(data: &[u8]) -> bool {
    let (mut place, mut count) = (4, 0);
    while count < 11 {
        if data.get(place) == Some(&b' ') {
            place += 1;
        }
        match data.get(place) {
            Some(byte) if *byte != b' ' && ACCOUNT[*byte as usize] => count += 1,
            _ => return false,
        }
        place += 1;
    }
    true
}
