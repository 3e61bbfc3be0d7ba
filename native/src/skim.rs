//! Stretches of JSON in which no detector has a sign: they are taken past the walk, and no tokens are made of them.
//!
//! A stretch is walked by the same grammar, and takes only what the walk would take as well and find nothing in. Whatever else
//! stands there (a string that hides something, what has no end yet, a member whose neighbour says what it means) is left to the walk,
//! which goes on from where the stretch ended, and after which another one may begin.

use super::{hides, nested, ordinary, scalar, space, string, Limits, Name, Next, Open, Said, Walk, NAMES, SAID, TOP, VALUES};
use crate::scan::Scan;

pub const BLOCK: usize = 256; // bytes of which one sign makes all the walk's
const FIRST: usize = 16; // blocks that tell whether it is worth to look at the others

/// Which blocks of a feed have no sign.
pub struct Clear {
    masks: Vec<u32>,
    again: usize, // where to try next
    stop: usize,  // up to where it is known to have none
}

impl Clear {
    /// Nothing is known to have none.
    pub fn none() -> Clear {
        Clear { masks: Vec::new(), again: usize::MAX, stop: 0 }
    }

    /// Up to where there are no signs, from there on; None: the walk has to go on.
    #[inline(always)]
    pub fn stretch(&mut self, at: usize) -> Option<usize> {
        if at < self.again {
            return None;
        }
        if at >= self.stop {
            self.look(at);
        }
        self.again = self.again.max(at + 1);
        (at < self.stop).then_some(self.stop)
    }

    fn look(&mut self, at: usize) {
        let first = (at / BLOCK).min(self.masks.len());
        let clear = self.masks[first..].iter().take_while(|mask| **mask == 0).count();
        let signed = self.masks[first + clear..].iter().take_while(|mask| **mask != 0).count();
        self.stop = (first + clear) * BLOCK;
        if clear == 0 {
            self.again = (first + signed) * BLOCK;
        }
    }
}

impl Walk {
    /// Look for signs in all of the data, unless what stands first says that most of it has some.
    pub(super) fn clear(&mut self, scan: &Scan, data: &[u8]) -> Clear {
        let blocks = data.len() / BLOCK + 1;
        let mut masks = vec![0; blocks];
        if !scan.detectors.is_empty() {
            let ends: Vec<usize> = (1..=blocks).map(|block| block * BLOCK).collect();
            let first = FIRST.min(blocks);
            scan.mark(&data[..data.len().min(first * BLOCK)], 0, &mut self.lower, &ends, &mut masks);
            if masks[..first].iter().filter(|mask| **mask != 0).count() * 2 > first {
                return Clear::none();
            }
            if blocks > first {
                scan.mark(data, 0, &mut self.lower, &ends, &mut masks); // a sign may lie across the end of the first
            }
        }
        Clear { masks, again: 0, stop: 0 }
    }

    /// Take what nobody has to look at, up to `stop` at most, before which there are no signs. Says how far it came.
    pub(super) fn skim(&mut self, data: &[u8], from: usize, stop: usize) -> usize {
        let mut at = from;
        while let Some(end) = self.skimmed(data, at, stop) {
            at = end;
        }
        at
    }

    /// Behind the value, the member or the end of a container that stands there, if nobody has to look at it.
    #[inline(always)]
    fn skimmed(&mut self, data: &[u8], at: usize, stop: usize) -> Option<usize> {
        let depth = self.open.len();
        let around = self.open.last_mut()?;
        if self.gone > 0 || matches!(around.name, Name::Held(_, signs) if signs != 0) {
            return None;
        }
        let mut at = space(data, at);
        let mut byte = *data.get(at)?;
        if byte == if around.object { b'}' } else { b']' } {
            if depth == 1 || at >= stop { // what stands between documents is the walk's
                return None;
            }
            self.open.pop();
            self.behind();
            return Some(at + 1);
        }
        if matches!(self.next, Next::NextMember | Next::NextItem) {
            if byte != b',' {
                return None;
            }
            at = space(data, at + 1);
            byte = *data.get(at)?;
        }
        let mut name = (0, 0);
        if around.object {
            let end = quoted(data, at)?;
            let says = !matches!(around.said, Said::Nothing);
            if end - at > self.limits.name || (says && &data[at..end] == VALUES) {
                return None;
            }
            name = (at, end);
            at = space(data, end);
            if *data.get(at)? != b':' {
                return None;
            }
            at = space(data, at + 1);
            byte = *data.get(at)?;
        }
        let end = match byte {
            b'"' => quoted(data, at).or_else(|| harmless(data, at))?,
            b'{' | b'[' => at + 1,
            _ => scalar(data, at).ok().filter(|end| end - at <= self.limits.number)?,
        };
        let opens = matches!(byte, b'{' | b'[');
        if end > stop || end - at > self.limits.held || (opens && depth >= self.limits.depth) {
            return None;
        }
        let around = self.open.last_mut()?;
        if around.object && &data[name.0..name.1] == NAMES {
            let says = byte == b'"' && end - at <= SAID;
            around.said = if says { Said::Here(at, end) } else { Said::Nothing };
        }
        if !opens {
            self.next = if around.object { Next::NextMember } else { Next::NextItem };
            return Some(end);
        }
        let object = byte == b'{';
        let name = match (object, around.object) {
            (true, _) => Name::Nothing,
            (false, true) => Name::Here(name.0, name.1),
            (false, false) => around.name.clone(),
        };
        self.open.push(Open { object, place: TOP, below: TOP, name, held: (u64::MAX, 0), said: Said::Nothing });
        self.next = if object { Next::FirstMember } else { Next::FirstItem };
        Some(end)
    }
}

/// Whether the data is one whole document that the walk would let pass as it is, whatever is around it.
pub fn passes(scan: &Scan, limits: Limits, data: &[u8], lower: &mut Vec<u8>) -> bool {
    let begin = space(data, 0);
    let object = match data.get(begin) {
        Some(b'{') => true,
        Some(b'[') => false,
        _ => return false,
    };
    let signed = |data: &[u8], lower: &mut Vec<u8>| !scan.detectors.is_empty() && scan.signs.of(data, lower) != 0;
    let first = data.len().min(FIRST * BLOCK);
    if signed(&data[..first], lower) || (first < data.len() && signed(data, lower)) || std::str::from_utf8(data).is_err() {
        return false;
    }
    let mut walk = Walk::new(limits, None, TOP, b"");
    walk.open.push(Open { object, place: TOP, below: TOP, name: Name::Nothing, held: (u64::MAX, 0), said: Said::Nothing });
    walk.next = if object { Next::FirstMember } else { Next::FirstItem };
    let end = space(data, walk.skim(data, begin + 1, data.len()));
    let closed = data.get(end) == Some(if object { &b'}' } else { &b']' });
    walk.open.len() == 1 && closed && space(data, end + 1) == data.len()
}

/// Behind the string that begins there, if it has neither a backslash nor anything that must not be.
#[inline(always)]
fn quoted(data: &[u8], at: usize) -> Option<usize> {
    if data.get(at) != Some(&b'"') {
        return None;
    }
    let end = ordinary(data, at + 1);
    (data.get(end) == Some(&b'"')).then_some(end + 1)
}

/// The same of a value with backslashes that hide nothing.
#[cold]
fn harmless(data: &[u8], at: usize) -> Option<usize> {
    let (end, _) = string(data, at).ok()?;
    (!nested(&data[at..end]) && !hides(&data[at..end])).then_some(end)
}
