//! Where numbers may stand: runs of the bytes that they are written with, and what account numbers begin with.
//!
//! Data is looked at 64 bytes at a time, each byte a bit of a word: shifted words laid over each other tell where a run is long
//! enough, without a branch for each byte.

use wide::u8x16;

const BLOCK: usize = 64;
pub const NUMBER_RUN: usize = 7; // bytes of the shortest run that a number's hint can hold in
const FEWEST: u32 = 6; // digits of a run in which any hint can hold
const BEGIN: usize = 4; // of an account number: two capital letters and two digits

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

/// Every run of at least `NUMBER_RUN` bytes that numbers are written with, where it holds enough digits.
pub fn runs(data: &[u8], mut each: impl FnMut(usize, usize)) {
    let mut at = 0; // never within a run that was told
    while at < data.len() {
        let block = block_at(data, at);
        let number = lanes(&block, in_number);
        let two = number & number >> 1;
        let four = two & two >> 2;
        let mut long = four & four >> 3; // seven in a row from there on
        let mut done = at;
        while long != 0 {
            let first = long.trailing_zeros() as usize;
            let behind = first + (!(number >> first)).trailing_zeros() as usize;
            done = at + behind;
            if behind == BLOCK {
                done += data.get(done..).map_or(0, |rest| rest.iter().take_while(|byte| NUMBER[**byte as usize]).count());
                each(at + first, done);
                break;
            }
            if digits(&block, first, behind) >= FEWEST {
                each(at + first, done);
            }
            long = long >> behind << behind;
        }
        at = done.max(at + BLOCK - NUMBER_RUN + 1); // what begins behind it was not seen to the length that counts
    }
}

fn digits(block: &[u8; BLOCK], first: usize, behind: usize) -> u32 {
    (lanes(block, in_digits) >> first << (BLOCK + first - behind)).count_ones()
}

/// Where account numbers may begin: two capital letters and two digits, and what an account number needs behind them.
pub fn accounts(data: &[u8], mut each: impl FnMut(usize)) {
    let mut at = 0;
    while at < data.len() {
        let block = block_at(data, at);
        let letters = lanes(&block, in_capitals);
        let mut begins = letters & letters >> 1;
        if begins != 0 {
            let digits = lanes(&block, in_digits);
            begins &= digits >> 2 & digits >> 3;
        }
        while begins != 0 {
            let place = at + begins.trailing_zeros() as usize;
            if account(&data[place..]) {
                each(place);
            }
            begins &= begins - 1;
        }
        at += BLOCK - BEGIN + 1;
    }
}

/// The bytes from there on, zeros behind the end: they are of no class.
fn block_at(data: &[u8], at: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    match data.get(at..at + BLOCK) {
        Some(whole) => block.copy_from_slice(whole),
        None => block[..data.len() - at].copy_from_slice(&data[at..]),
    }
    block
}

/// A bit for each byte of the class.
fn lanes(block: &[u8; BLOCK], class: fn(u8x16) -> u8x16) -> u64 {
    let (mut found, mut bytes) = (0, [0; 16]);
    for (part, sixteen) in block.chunks_exact(16).enumerate() {
        bytes.copy_from_slice(sixteen);
        found |= u64::from(class(u8x16::new(bytes)).move_mask() as u16) << (16 * part);
    }
    found
}

fn is(bytes: u8x16, byte: u8) -> u8x16 {
    bytes.cmp_eq(u8x16::splat(byte))
}

fn between(bytes: u8x16, first: u8, last: u8) -> u8x16 {
    let from = bytes - u8x16::splat(first);
    from.min(u8x16::splat(last - first)).cmp_eq(from)
}

fn in_number(bytes: u8x16) -> u8x16 {
    let within = between(bytes, b'(', b'9') ^ is(bytes, b'*') ^ is(bytes, b',');
    within | is(bytes, b' ')
}

fn in_digits(bytes: u8x16) -> u8x16 {
    between(bytes, b'0', b'9')
}

fn in_capitals(bytes: u8x16) -> u8x16 {
    between(bytes, b'A', b'Z')
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_say_what_bytes_say() {
        for first in 0..=u8::MAX {
            let block: [u8; BLOCK] = std::array::from_fn(|place| first.wrapping_add(place as u8 * 7));
            let expected = |class: fn(&u8) -> bool| block.iter().rev().fold(0, |found, byte| found << 1 | u64::from(class(byte)));
            assert_eq!(lanes(&block, in_number), expected(|byte| NUMBER[*byte as usize]));
            assert_eq!(lanes(&block, in_digits), expected(u8::is_ascii_digit));
            assert_eq!(lanes(&block, in_capitals), expected(u8::is_ascii_uppercase));
        }
    }
}
