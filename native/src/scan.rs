//! The engine over the table of detectors: what `gatebook.masking.detectors` does, with the same patterns.

use std::sync::atomic::{AtomicUsize, Ordering};

use pcre2::bytes::{CaptureLocations, Regex, RegexBuilder};

use crate::checks::{Check, Lore};
use crate::signs::{Marker, Signs};

pub const ROUNDS: usize = 4;
pub const SWEEP: usize = 16;
pub const LONG: usize = 256;
const BEHIND: usize = 64; // bytes behind a run of which a number's pattern and its check look at the first few
const KEPT: usize = 4096; // bytes of a buffer that a session keeps

static SCANS: AtomicUsize = AtomicUsize::new(1);

/// Why a row was not covered here.
#[derive(Debug, PartialEq)]
pub enum Halt {
    /// The row's work is used up.
    Overwork,
    /// The Python twin has to cover this row: it is malformed, or an engine's limit was met.
    Twin,
}

impl From<pcre2::Error> for Halt {
    fn from(_: pcre2::Error) -> Halt {
        Halt::Twin
    }
}

/// How much may still be looked at for one row.
pub struct Work(pub usize);

impl Work {
    pub fn spend(&mut self, size: usize) -> Result<(), Halt> {
        self.0 = self.0.checked_sub(size).ok_or(Halt::Overwork)?;
        Ok(())
    }
}

/// A pattern as Python's `re` would run it over bytes.
pub fn compiled(pattern: &str, dotall: bool, caseless: bool) -> Result<Regex, String> {
    RegexBuilder::new()
        .dotall(dotall)
        .caseless(caseless)
        .jit_if_available(true)
        .build(pattern)
        .map_err(|fault| format!("{pattern}: {fault}"))
}

pub fn anchored(pattern: &str, dotall: bool, caseless: bool) -> Result<Regex, String> {
    compiled(&format!("\\G(?:{pattern})"), dotall, caseless)
}

pub fn whole(pattern: &str, dotall: bool, caseless: bool) -> Result<Regex, String> {
    compiled(&format!("\\G(?:{pattern})\\z"), dotall, caseless)
}

#[derive(Clone, Copy)]
enum View {
    Raw,
    Lower,
    Shape,
    Digits,
    Dial,
}

pub struct Detector {
    pub name: String,
    hints: Vec<(View, Regex)>,
    pattern: Regex,
    heads: Option<Regex>,
    mark: Option<u8>, // a byte that each finding holds, with no space or control character before it
    check: Check,
}

/// What Python says of a detector: name, hints by view, marks, pattern, heads, check.
pub type Spec = (String, Vec<(String, String)>, Vec<Vec<u8>>, String, String, String);

/// Where a detector found something: beginning, end, and its rank.
pub type Spot = (usize, usize, usize);

pub struct Scan {
    number: usize, // no two have the same
    pub detectors: Vec<Detector>,
    pub signs: Signs,
    lore: Lore,
}

/// Buffers that are used again for each row.
#[derive(Default)]
pub struct Scratch {
    pub lower: Vec<u8>,
    view: Vec<u8>,
    groups: Vec<Option<CaptureLocations>>, // of the patterns of one scan
    scan: usize,
    runs: Vec<(usize, usize, u32)>,
}

impl Scratch {
    pub fn let_go(&mut self) {
        for buffer in [&mut self.lower, &mut self.view] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
        self.runs.clear();
        self.runs.shrink_to(KEPT / size_of::<(usize, usize, u32)>());
    }
}

impl Scan {
    pub fn new(specs: Vec<Spec>, lore: Lore) -> Result<Scan, String> {
        if specs.len() > 32 {
            return Err(format!("{} detectors, at most 32", specs.len()));
        }
        let marks: Vec<_> = specs.iter().map(|spec| (spec.0.clone(), spec.2.clone())).collect();
        let mut detectors = Vec::new();
        for (name, hints, marks, pattern, heads, check) in specs {
            let run = if heads.is_empty() { compiled(&pattern, true, false)? } else { anchored(&pattern, true, false)? };
            detectors.push(Detector {
                check: Check::new(&check, &name, &run)?,
                hints: hints.iter().map(|(view, hint)| Ok((seen(view)?, compiled(hint, false, false)?))).collect::<Result<_, String>>()?,
                pattern: run,
                mark: match marks.as_slice() {
                    [mark] if mark.len() == 1 => Some(mark[0]),
                    _ => None,
                },
                heads: if heads.is_empty() { None } else { Some(compiled(&heads, false, false)?) },
                name,
            });
        }
        Ok(Scan { number: SCANS.fetch_add(1, Ordering::Relaxed), detectors, signs: Signs::new(&marks)?, lore })
    }

    pub fn lore(&self) -> &Lore {
        &self.lore
    }

    /// Mark the rows of the data from `at` on that hold signs; `ends` are where they end in the data.
    pub fn mark(&self, data: &[u8], at: usize, lower: &mut Vec<u8>, ends: &[usize], masks: &mut [u32]) {
        self.signs.mark(&data[at..], lower, &mut Marker::new(at, ends, masks));
    }

    /// The detectors that may find something in the data or any part of it, as a set of ranks.
    pub fn suspects(&self, data: &[u8], scratch: &mut Scratch) -> Result<u32, Halt> {
        let signs = self.signs.of(data, &mut scratch.lower);
        self.hinted(data, signs, scratch)
    }

    /// Those of the set whose hints hold.
    pub fn hinted(&self, data: &[u8], signs: u32, scratch: &mut Scratch) -> Result<u32, Halt> {
        let mut found = 0;
        for rank in ranks(signs) {
            for (view, hint) in &self.detectors[rank].hints {
                if hint.is_match(seen_as(*view, data, &mut scratch.view))? {
                    found |= 1 << rank;
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The data with every finding of the suspects replaced, None if there is none; `counts` grows by rank.
    pub fn cover(
        &self,
        data: &[u8],
        suspects: u32,
        counts: &mut [u64],
        work: &mut Work,
        scratch: &mut Scratch,
    ) -> Result<Option<Vec<u8>>, Halt> {
        let mut found = [0u64; 32];
        let mut shown: Option<Vec<u8>> = None;
        for _ in 0..ROUNDS {
            let mut changed = false;
            for rank in ranks(suspects) {
                let now = shown.as_deref().unwrap_or(data);
                work.spend(now.len() * SWEEP)?;
                if !self.signs.possible(rank, now) {
                    continue;
                }
                if let Some(covered) = self.sweep(rank, now, &mut found[rank], scratch)? {
                    shown = Some(covered);
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        for rank in ranks(suspects) {
            counts[rank] += found[rank];
        }
        Ok(shown)
    }

    /// The data with a star for each byte of every finding, None if there is none; line ends stay. `spots` get where these are.
    ///
    /// Numbers are looked for in the runs that hold their signs alone: a finding of theirs lies in one, and has the sign itself.
    pub fn blot(&self, data: &[u8], spots: &mut Vec<Spot>, work: &mut Work, scratch: &mut Scratch) -> Result<Option<Vec<u8>>, Halt> {
        work.spend(data.len())?;
        let mut runs = std::mem::take(&mut scratch.runs);
        runs.clear();
        let signs = self.signs.with_runs(data, &mut scratch.lower, &mut runs);
        let numbers = self.signs.numbers();
        let mut suspects = self.hinted(data, signs, scratch)?;
        for (start, end, mask) in &mut runs {
            suspects |= *mask; // these signs are the hints themselves
            *mask = self.signs.likely(data, *start, *end, *mask);
        }
        runs.retain(|(_, _, mask)| *mask != 0);
        let mut shown: Option<Vec<u8>> = None;
        for _ in 0..ROUNDS {
            let before = spots.len();
            for rank in ranks(suspects) {
                let (now, known) = (shown.as_deref().unwrap_or(data), spots.len());
                work.spend(now.len() * SWEEP)?;
                let mut found = |start: usize, end: usize, _| {
                    if now[start..end].iter().any(|byte| *byte != starred(*byte)) {
                        spots.push((start, end, rank));
                    }
                };
                if numbers & 1 << rank != 0 {
                    for (start, end, _) in runs.iter().filter(|(_, _, mask)| mask & 1 << rank != 0) {
                        self.within(rank, &now[..now.len().min(end + BEHIND)], *start, *end, scratch, &mut found)?;
                    }
                } else if self.signs.possible(rank, now) {
                    self.within(rank, now, 0, now.len(), scratch, &mut found)?;
                }
                if spots.len() > known {
                    let out = shown.get_or_insert_with(|| data.to_vec());
                    for (start, end, _) in &spots[known..] {
                        out[*start..*end].iter_mut().for_each(|byte| *byte = starred(*byte));
                    }
                }
            }
            if spots.len() == before {
                break;
            }
        }
        scratch.runs = runs;
        Ok(shown)
    }

    fn sweep(&self, rank: usize, data: &[u8], count: &mut u64, scratch: &mut Scratch) -> Result<Option<Vec<u8>>, Halt> {
        let mut shown: Option<Vec<u8>> = None;
        let mut last = 0;
        self.within(rank, data, 0, data.len(), scratch, &mut |start, end, cover: Vec<u8>| {
            let out = shown.get_or_insert_with(|| Vec::with_capacity(data.len() + 16));
            out.extend_from_slice(&data[last..start]);
            out.extend_from_slice(&cover);
            *count += 1;
            last = end;
        })?;
        if let Some(out) = &mut shown {
            out.extend_from_slice(&data[last..]);
        }
        Ok(shown)
    }

    /// Tell of each finding of one detector that begins in a part of the data: its beginning, its end, and what covers it.
    fn within(
        &self,
        rank: usize,
        data: &[u8],
        start: usize,
        stop: usize,
        scratch: &mut Scratch,
        found: &mut impl FnMut(usize, usize, Vec<u8>),
    ) -> Result<(), Halt> {
        let detector = &self.detectors[rank];
        if scratch.scan != self.number {
            scratch.groups.clear();
            scratch.scan = self.number;
            scratch.groups.resize_with(self.detectors.len(), || None);
        }
        let groups = scratch.groups[rank].get_or_insert_with(|| detector.pattern.capture_locations());
        let lower = match detector.heads {
            Some(_) => data.to_ascii_lowercase(),
            None => Vec::new(),
        };
        let mut at = start;
        while let Some((start, end)) = detector.search(data, &lower, at, groups)? {
            if start >= stop {
                break;
            }
            match detector.check.part(&self.lore, data, start, end, groups)? {
                None => at = if end - start > LONG { end } else { start + 1 },
                Some((from, to, cover)) => {
                    found(from, to, cover);
                    at = to;
                }
            }
        }
        Ok(())
    }
}

fn starred(byte: u8) -> u8 {
    if byte == b'\r' || byte == b'\n' {
        byte
    } else {
        b'*'
    }
}

impl Detector {
    /// Where the next finding begins at the earliest; None if there is none.
    fn begin(&self, data: &[u8], at: usize) -> Option<usize> {
        let Some(mark) = self.mark else { return Some(at) };
        let found = at + memchr::memchr(mark, &data[at..])?;
        Some(at + data[at..found].iter().rposition(|byte| *byte <= b' ').map_or(0, |space| space + 1))
    }

    fn search(&self, data: &[u8], lower: &[u8], at: usize, groups: &mut CaptureLocations) -> Result<Option<(usize, usize)>, Halt> {
        let Some(heads) = &self.heads else {
            let Some(at) = self.begin(data, at) else { return Ok(None) };
            return Ok(self.pattern.captures_read_at(groups, data, at)?.map(|found| (found.start(), found.end())));
        };
        let mut place = at;
        while let Some(head) = heads.find_at(lower, place)? {
            if let Some(found) = self.pattern.captures_read_at(groups, data, head.start())? {
                return Ok(Some((found.start(), found.end())));
            }
            place = head.start() + 1;
        }
        Ok(None)
    }
}

pub fn ranks(set: u32) -> impl Iterator<Item = usize> {
    let mut left = set;
    std::iter::from_fn(move || {
        let rank = left.trailing_zeros() as usize;
        left &= left.wrapping_sub(1);
        (rank < 32).then_some(rank)
    })
}

fn seen(view: &str) -> Result<View, String> {
    match view {
        "raw" => Ok(View::Raw),
        "lower" => Ok(View::Lower),
        "shape" => Ok(View::Shape),
        "digits" => Ok(View::Digits),
        "dial" => Ok(View::Dial),
        _ => Err(format!("no such view: {view}")),
    }
}

fn shaped(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => b'0',
        b'A'..=b'Z' => b'A',
        _ => byte,
    }
}

fn seen_as<'a>(view: View, data: &'a [u8], room: &'a mut Vec<u8>) -> &'a [u8] {
    room.clear();
    match view {
        View::Raw => return data,
        View::Lower => {
            room.extend_from_slice(data);
            room.make_ascii_lowercase();
        }
        View::Shape => room.extend(data.iter().map(|byte| shaped(*byte))),
        View::Digits => room.extend(data.iter().filter(|byte| !b" -".contains(byte)).map(|byte| shaped(*byte))),
        View::Dial if memchr::memchr(b'+', data).is_some() => {
            room.extend(data.iter().filter(|byte| !b" .()/-".contains(byte)).map(|byte| shaped(*byte)));
        }
        View::Dial => {}
    }
    room
}
