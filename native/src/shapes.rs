//! What a run of the bytes that numbers are written with may be; a run is given by where it stands in its data.
//!
//! A run is seen 64 bytes at a time, each byte a bit of one word for each kind of byte: shifted words laid over each other tell
//! where a shape stands, wherever in the run it begins. `p >> n` asks of the nth byte behind each place, `p << n` before it.

use wide::u8x16;

const WINDOW: usize = 64;
const STEP: usize = 40; // between windows of a longer run: no shape is as long as two of them have in common
const DIALLED: usize = 8; // digits behind a plus
const CARD: usize = 13; // digits
const CHUNK: usize = 16;

/// What a run has the signs of.
#[derive(Debug, Default, PartialEq)]
pub struct Kinds {
    pub card: bool,
    pub dialled: bool,
    pub ssn: bool,
    pub phone: bool,
}

/// What the run from `start` to `end` may be by its digits and the signs between them.
pub fn kinds(data: &[u8], start: usize, end: usize) -> Kinds {
    let (run, mut found) = (&data[start..end], Kinds::default());
    let (mut digits, mut plus) = (0, 0);
    windows(data, start, end, |bits, new| {
        digits += (bits.digits & new).count_ones() as usize;
        plus |= bits.plus;
        found.ssn |= bits.ssn() != 0;
        found.phone |= bits.phone() != 0;
    });
    found.card = digits >= CARD && longest(run, b" -") >= CARD;
    found.dialled = plus != 0 && digits >= DIALLED && dialled(run);
    found
}

/// Whether a card's pattern may find something in the run: thirteen digits in a row, or groups as on a card.
pub fn may_be_card(data: &[u8], start: usize, end: usize) -> bool {
    let mut found = longest(&data[start..end], b"") >= CARD;
    windows(data, start, end, |bits, _| found |= bits.card() != 0);
    found
}

/// The same of a phone number's: one with a plus, one of North America, five pairs, or an area code that begins with a zero.
pub fn may_be_phone(data: &[u8], start: usize, end: usize) -> bool {
    let (mut found, mut plus) = (false, 0);
    windows(data, start, end, |bits, _| {
        found |= bits.phone_of_a_land() != 0;
        plus |= bits.plus;
    });
    found || plus != 0 && dialled(&data[start..end])
}

/// Each window of a run, and which of its places no window before it had.
fn windows(data: &[u8], start: usize, end: usize, mut each: impl FnMut(Bits, u64)) {
    each(Bits::of(data, start, end.min(start + WINDOW)), u64::MAX);
    let mut at = start;
    while at + WINDOW < end {
        at += STEP;
        each(Bits::of(data, at, end.min(at + WINDOW)), u64::MAX << (WINDOW - STEP));
    }
}

/// Where the kinds of bytes stand among at most 64.
#[derive(Default)]
struct Bits {
    digits: u64,
    zeros: u64,
    dashes: u64,
    dots: u64,
    spaces: u64,
    slashes: u64,
    closing: u64, // brackets
    plus: u64,
}

impl Bits {
    /// From `start` to `end`, 64 bytes at most; not more is looked at of what stands behind them.
    fn of(data: &[u8], start: usize, end: usize) -> Bits {
        let mut bits = Bits::default();
        for at in (start..end).step_by(CHUNK) {
            let mut bytes = [0; CHUNK];
            match data.get(at..at + CHUNK) {
                Some(whole) => bytes.copy_from_slice(whole),
                None => bytes[..data.len() - at].copy_from_slice(&data[at..]),
            }
            let bytes = u8x16::new(bytes);
            let from = bytes - u8x16::splat(b'0');
            let within = u64::MAX >> (WINDOW - (end - at).min(CHUNK));
            let place = |found: u8x16| (u64::from(found.move_mask() as u16) & within) << (at - start);
            let is = |byte: u8| place(bytes.cmp_eq(u8x16::splat(byte)));
            bits.digits |= place(from.min(u8x16::splat(9)).cmp_eq(from));
            bits.zeros |= is(b'0');
            bits.dashes |= is(b'-');
            bits.dots |= is(b'.');
            bits.spaces |= is(b' ');
            bits.slashes |= is(b'/');
            bits.closing |= is(b')');
            bits.plus |= is(b'+');
        }
        bits
    }

    fn two(&self) -> u64 {
        self.digits & self.digits >> 1
    }

    fn three(&self) -> u64 {
        self.two() & self.digits >> 2
    }

    fn four(&self) -> u64 {
        self.two() & self.two() >> 2
    }

    /// 000-00-0000, at its first dash.
    fn ssn(&self) -> u64 {
        self.dashes & self.three() << 3 & self.two() >> 1 & self.dashes >> 3 & self.four() >> 4
    }

    /// What a phone number's hint holds for, at the first sign that is no digit.
    fn phone(&self) -> u64 {
        let america = self.america(self.dashes) | self.america(self.dots);
        let pairs = pairs(self.dots, self.two()) | pairs(self.spaces, self.two());
        let separators = self.dashes | self.dots | self.spaces;
        let seven = self.three() & separators >> 3 & self.four() >> 4;
        let bracketed = self.closing & self.three() << 3 & self.behind(seven);
        let area = self.area();
        america | pairs | bracketed | self.spaces & area >> 1 | (self.closing | self.slashes) & self.behind(area)
    }

    /// What its pattern may find.
    fn phone_of_a_land(&self) -> u64 {
        let america = self.america(self.dashes) | self.america(self.dots);
        let pairs = pairs(self.dots, self.two()) | pairs(self.spaces, self.two());
        let leads = (self.closing | self.spaces | self.slashes) & self.leads();
        america | pairs & self.two() << 2 | self.closing & self.behind(self.three()) | leads
    }

    /// 0000-0000-0000 or 0000-000000-, at its first sign; with spaces too.
    fn card(&self) -> u64 {
        let groups = |sign: u64| sign & self.four() << 4 & self.four() >> 1;
        let four = |sign: u64| groups(sign) & sign >> 5 & self.four() >> 6;
        let six = |sign: u64| groups(sign) & self.two() >> 5 & sign >> 7;
        four(self.dashes) | four(self.spaces) | six(self.dashes) | six(self.spaces)
    }

    /// 000-000-0000 with one sign between.
    fn america(&self, sign: u64) -> u64 {
        sign & self.three() << 3 & self.three() >> 1 & sign >> 4 & self.four() >> 5
    }

    /// Six digits, or three and three, or four and three, as behind an area code.
    fn area(&self) -> u64 {
        let (three, spaces) = (self.three(), self.spaces);
        three & three >> 3 | three & spaces >> 3 & three >> 4 | self.four() & spaces >> 4 & three >> 5
    }

    /// Where what begins at these places stands right behind, or behind one space.
    fn behind(&self, places: u64) -> u64 {
        places >> 1 | self.spaces >> 1 & places >> 2
    }

    /// Where a zero and two to five digits end.
    fn leads(&self) -> u64 {
        let (zeros, digits) = (self.zeros, self.digits);
        let (two, three, four) = (self.two() << 2, self.three() << 3, self.four() << 4);
        zeros << 3 & two | zeros << 4 & three | zeros << 5 & four | zeros << 6 & four & digits << 5
    }
}

/// Four pairs of digits, each behind one sign.
fn pairs(sign: u64, two: u64) -> u64 {
    let pair = sign & two >> 1;
    pair & pair >> 3 & pair >> 6 & pair >> 9
}

/// The most digits in a row, some bytes between them not counted.
fn longest(run: &[u8], between: &[u8]) -> usize {
    let (mut most, mut count) = (0, 0);
    for byte in run {
        if byte.is_ascii_digit() {
            count += 1;
            most = most.max(count);
        } else if !between.contains(byte) {
            count = 0;
        }
    }
    most
}

/// Whether enough digits follow a plus.
fn dialled(run: &[u8]) -> bool {
    let digits = |number: &[u8]| number.iter().filter(|byte| byte.is_ascii_digit()).count();
    run.split(|byte| *byte == b'+').skip(1).any(|number| digits(number) >= DIALLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a shape stands somewhere in the run: a zero for each digit, every other byte for itself.
    fn holds(run: &[u8], shape: &[u8]) -> bool {
        run.windows(shape.len()).any(|part| {
            part.iter().zip(shape).all(|(byte, wanted)| if *wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted })
        })
    }

    fn any(run: &[u8], shapes: &[&[u8]]) -> bool {
        shapes.iter().any(|shape| holds(run, shape))
    }

    const AMERICA: [&[u8]; 2] = [b"000-000-0000", b"000.000.0000"];
    const BRACKETED: [&[u8]; 6] =
        [b"000)000-0000", b"000)000.0000", b"000)000 0000", b"000) 000-0000", b"000) 000.0000", b"000) 000 0000"];
    const AREA: [&[u8]; 3] = [b"000000", b"000 000", b"0000 000"];

    fn phone(run: &[u8]) -> bool {
        let behind: [&[u8]; 5] = [b" ", b")", b") ", b"/", b"/ "];
        let areas = behind.iter().flat_map(|before| AREA.map(|area| [before, area].concat()));
        any(run, &AMERICA)
            || any(run, &BRACKETED)
            || any(run, &[b".00.00.00.00", b" 00 00 00 00"])
            || areas.into_iter().any(|shape| holds(run, &shape))
    }

    fn leads(run: &[u8]) -> bool {
        (0..run.len()).filter(|at| b") /".contains(&run[*at])).any(|at| {
            let count = run[..at].iter().rev().take(6).take_while(|byte| byte.is_ascii_digit()).count();
            (3..=count).any(|back| run[at - back] == b'0')
        })
    }

    /// Runs that look like numbers, by a generator that is the same each time.
    fn made() -> impl Iterator<Item = Vec<u8>> {
        let pieces: [&[u8]; 16] =
            [b"0", b"12", b"345", b"6789", b"-", b".", b" ", b"/", b"(", b")", b"+", b"030", b"00", b"123456", b") ", b"/ "];
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let mut next = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        (0..200_000).map(move |number| {
            let many = 1 + next(if number % 10 == 0 { 90 } else { 14 });
            (0..many).flat_map(|_| pieces[next(pieces.len())].to_vec()).collect()
        })
    }

    #[test]
    fn words_say_what_bytes_say() {
        for run in made() {
            let data = [b"12-".as_slice(), &run, b"-345-6789"].concat();
            let (start, end) = (3, 3 + run.len());
            let found = kinds(&data, start, end);
            assert_eq!(found.ssn, holds(&run, b"000-00-0000"), "{run:?}");
            assert_eq!(found.phone, phone(&run), "{run:?}");
            let card: [&[u8]; 4] = [b"0000-0000-0000", b"0000 0000 0000", b"0000-000000-", b"0000 000000 "];
            assert_eq!(may_be_card(&data, start, end), any(&run, &card) || holds(&run, &[b'0'; CARD]), "{run:?}");
            let land = any(&run, &AMERICA)
                || any(&run, &[b"00.00.00.00.00", b"00 00 00 00 00", b")000", b") 000"])
                || leads(&run)
                || dialled(&run);
            assert_eq!(may_be_phone(&data, start, end), land, "{run:?}");
        }
    }
}
