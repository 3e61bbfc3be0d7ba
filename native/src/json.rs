//! JSON as it comes: what `gatebook.protocols.http.covering.json_walk` does in Python, and which values are worth a look.
//!
//! The walk says how far the data is whole and which tokens in it somebody must look at; Python covers these. It names fewer than
//! the Python twin does: values in which no detector's hint holds need nothing, whatever else is in the chunk. Where the rules
//! lead from one member to the next is asked of Python once for each place and name.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use memchr::{memchr, memmem};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use wide::u8x16;

use crate::scan::{Halt, Scan, Scratch, Work};
pub use skim::passes;
use skim::Clear;

#[path = "skim.rs"]
mod skim;

const NAME: u8 = 0;
const VALUE: u8 = 1;
const RULED: u8 = 2;
const GONE: u8 = 3;
const UNREAD: u8 = 4;
const NEW: u8 = 5;
const TOP: u32 = 0;
const NAMED: u32 = 1 << 31; // beside the signs of a name: it has a backslash
const LONG: usize = 65_536; // bytes of a value that is covered here
const EFFORT: usize = 256; // work for each of its bytes
const BATCH: usize = 512; // tokens that are looked through together
const ARRAYS: usize = 8; // names of arrays that are kept
const SAID: usize = 1024; // bytes of what a member `name` says
const MET: usize = 1024; // names that rules with stars were asked about, and that are kept
const MET_BYTES: usize = 256; // of each
const NAMES: &[u8] = b"\"name\"";
const VALUES: &[u8] = b"\"value\"";
const MALFORMED: &str = "JSON that is not well-formed";

/// A token that somebody must look at: what to do, where it stands, its place in the rules, and the name around it.
pub type Hit<'a> = (u8, usize, usize, u32, Cow<'a, [u8]>);

#[derive(Clone, Copy, PartialEq)]
enum Next {
    Document,
    FirstMember,
    NextMember,
    FirstItem,
    NextItem,
}

struct Open {
    object: bool,
    place: u32,
    below: u32,
    name: Name,       // of an array: its items' nearest
    held: (u64, u32), // in which batch of tokens the name is held, and where
    said: Said,       // of an object: what its member `name` says
}

#[derive(Clone)]
enum Name {
    Nothing,
    Here(usize, usize),   // in the data of this feed, with neither signs nor a backslash
    Held(Arc<[u8]>, u32), // with what detectors may find because of it
}

/// The string of a member `name`, beside which a member `value` is looked at: `{"name":"DB_PASSWORD","value":"…"}`.
enum Said {
    Nothing,
    Here(usize, usize), // in the data of this feed
    Held(Arc<[u8]>),
}

/// Limits, as Python has them.
pub struct Limits {
    pub depth: usize,
    pub name: usize,
    pub number: usize,
    pub held: usize,
}

/// The rules' places, asked of Python and kept. `paired` is the member where rules have names with stars, by what stands beside.
pub struct Places {
    paired: Option<Py<PyAny>>,
    met: usize,
    member: Py<PyAny>,
    item: Py<PyAny>,
    ruled: Py<PyAny>,
    names: HashSet<Vec<u8>>,
    sizes: u64, // a bit for each length of a name, the last for all longer ones
    aliased: HashSet<Vec<u8>>,
    known: Vec<Known>,
    lower: Vec<u8>,
}

/// What is known of one place.
#[derive(Default)]
struct Known {
    ruled: Option<bool>,
    item: Option<u32>,
    other: Option<u32>, // where all names lead that no rule has
    below: HashMap<Vec<u8>, u32>,
}

impl Places {
    pub fn new(
        (member, item, ruled, paired): (Py<PyAny>, Py<PyAny>, Py<PyAny>, Option<Py<PyAny>>),
        names: HashSet<Vec<u8>>,
        aliased: HashSet<Vec<u8>>,
    ) -> Places {
        let sizes = names.iter().fold(0, |sizes, name| sizes | 1 << name.len().min(63));
        Places { paired, met: 0, member, item, ruled, names, sizes, aliased, known: Vec::new(), lower: Vec::new() }
    }

    fn known(&mut self, place: u32) -> &mut Known {
        let at = place as usize;
        if self.known.len() <= at {
            self.known.resize_with(at + 1, Known::default);
        }
        &mut self.known[at]
    }

    /// The place of a member; its name is as it is written, with quotes.
    fn member(&mut self, py: Python<'_>, place: u32, written: &[u8], escaped: bool, said: &[u8]) -> PyResult<u32> {
        let bare = &written[1..written.len() - 1];
        if self.paired.is_some() {
            return self.starred(py, place, written, escaped, said);
        }
        if escaped || !bare.is_ascii() || (!self.aliased.is_empty() && self.aliased.contains(bare)) {
            return self.member.call1(py, (place, written))?.extract(py);
        }
        let mut own = false;
        if self.sizes & 1 << bare.len().min(63) != 0 {
            self.lower.clear();
            self.lower.extend_from_slice(bare);
            self.lower.make_ascii_lowercase();
            own = self.names.contains(&self.lower);
        }
        let lower = std::mem::take(&mut self.lower);
        let known = self.known(place);
        let found = if own { known.below.get(&lower).copied() } else { known.other };
        self.lower = lower;
        if let Some(below) = found {
            return Ok(below);
        }
        let below = self.member.call1(py, (place, written))?.extract(py)?;
        let lower = self.lower.clone();
        let known = self.known(place);
        if own {
            known.below.insert(lower, below);
        } else {
            known.other = Some(below);
        }
        Ok(below)
    }

    /// The same where names with stars may mean any name, and one called `value` goes by what is `said` beside it.
    #[cold]
    fn starred(&mut self, py: Python<'_>, place: u32, written: &[u8], escaped: bool, said: &[u8]) -> PyResult<u32> {
        let bare = &written[1..written.len() - 1];
        let mut key = std::mem::take(&mut self.lower);
        key.clear();
        key.extend_from_slice(bare);
        key.make_ascii_lowercase();
        if key == b"value" {
            key.push(0); // no name has this byte as it is
            key.extend_from_slice(said);
        }
        let keeps = !escaped && bare.is_ascii() && key.len() <= MET_BYTES;
        let known = if keeps { self.known(place).below.get(&key).copied() } else { None };
        let found = match (known, &self.paired) {
            (Some(below), _) => Ok(below),
            (None, Some(paired)) => paired.call1(py, (place, written, said)).and_then(|below| Ok(below.extract(py)?)),
            (None, None) => Ok(TOP),
        };
        if let (true, None, Ok(below)) = (keeps, known, &found) {
            if self.met >= MET {
                self.known.iter_mut().for_each(|known| known.below.clear());
                self.met = 0;
            }
            self.met += 1;
            self.known(place).below.insert(key.clone(), *below);
        }
        self.lower = key;
        found
    }

    fn item(&mut self, py: Python<'_>, place: u32) -> PyResult<u32> {
        if let Some(below) = self.known(place).item {
            return Ok(below);
        }
        let below = self.item.call1(py, (place,))?.extract(py)?;
        self.known(place).item = Some(below);
        Ok(below)
    }

    fn ruled(&mut self, py: Python<'_>, place: u32) -> PyResult<bool> {
        if let Some(ruled) = self.known(place).ruled {
            return Ok(ruled);
        }
        let ruled = self.ruled.call1(py, (place,))?.extract(py)?;
        self.known(place).ruled = Some(ruled);
        Ok(ruled)
    }
}

enum Stop {
    More,          // what stands there may become something
    Within(usize), // the same, and it is inside of a string that begins there
    Bad(&'static str),
    Python(PyErr),
}

impl From<PyErr> for Stop {
    fn from(fault: PyErr) -> Stop {
        Stop::Python(fault)
    }
}

/// A token of this feed: a name or a scalar. It owns nothing, so that it is made where it is kept.
#[derive(Clone, Copy)]
struct Token {
    look: u8,
    start: usize,
    end: usize,
    place: u32,
    around: Around,
    hit: bool,     // to be looked at whatever it holds
    escaped: bool, // it has a backslash
}

#[derive(Clone, Copy)]
enum Around {
    Nothing,
    Here(usize, usize), // the token before it is its name
    Held(u32, u32),     // among those that the batch holds, and its signs
}

pub struct Walk {
    limits: Limits,
    places: Option<Places>,
    top: u32,
    top_name: Option<Arc<[u8]>>,
    open: Vec<Open>,
    next: Next,
    gone: usize,
    within: bool,
    seen: usize,
    arrays: Vec<(Arc<[u8]>, u32)>, // names of arrays that were met, and their signs
    tokens: Vec<Token>,
    held: Vec<Arc<[u8]>>, // names that tokens of this batch have and that may not stand in the data
    batch: u64,
    ends: Vec<usize>,
    masks: Vec<u32>,
    scratch: Scratch,
    lower: Vec<u8>,
    plain: Vec<u8>,
}

impl Walk {
    pub fn new(limits: Limits, places: Option<Places>, top: u32, top_name: &[u8]) -> Walk {
        Walk {
            limits,
            places,
            top,
            top_name: (!top_name.is_empty()).then(|| Arc::from(top_name)),
            open: Vec::new(),
            next: Next::Document,
            gone: 0,
            within: false,
            seen: 0,
            arrays: Vec::new(),
            tokens: Vec::new(),
            held: Vec::new(),
            batch: 0,
            ends: Vec::new(),
            masks: Vec::new(),
            scratch: Scratch::default(),
            lower: Vec::new(),
            plain: Vec::new(),
        }
    }

    pub fn between(&self) -> bool {
        self.open.is_empty() && !self.within
    }

    /// What comes next may come much later: an idle stream keeps no room for it.
    fn let_go(&mut self) {
        (self.tokens, self.open, self.held) = (Vec::new(), Vec::new(), Vec::new());
        (self.ends, self.masks) = (Vec::new(), Vec::new());
        (self.lower, self.plain) = (Vec::new(), Vec::new());
    }

    /// Whether the data is still all inside of one long string.
    pub fn waits(&mut self, data: &[u8]) -> bool {
        if self.seen == 0 || data.len() > self.limits.held {
            return false;
        }
        match rest(data, self.seen).0 {
            Rest::Ended(_) => false,
            Rest::Open(at) | Rest::Cut(at) => {
                self.seen = at;
                at == data.len()
            }
        }
    }

    /// How far the data is whole, and what in that is to be looked at; `every` value where Python says so.
    pub fn feed<'a>(
        &mut self,
        py: Python<'_>,
        scan: &Scan,
        data: &'a [u8],
        every: bool,
        counts: &mut [u64],
    ) -> PyResult<(usize, Vec<Hit<'a>>)> {
        self.seen = 0;
        let mut feed = Feed { scan, data, every, counts, marked: 0, hits: Vec::new() };
        let mut clear = if every || self.places.is_some() { Clear::none() } else { self.clear(scan, data) };
        let mut tokens = std::mem::take(&mut self.tokens);
        tokens.clear();
        let mut at = 0;
        if self.within {
            at = self.go_on(data, &mut tokens)?;
        }
        if !self.within {
            at = self.walk(py, at, &mut tokens, &mut feed, &mut clear)?;
        }
        self.hits(at, &mut tokens, &mut feed)?;
        for around in &mut self.open {
            if let Said::Here(from, to) = around.said {
                around.said = Said::Held(Arc::from(&data[from..to]));
            }
            if let Name::Here(from, to) = around.name {
                around.name = Name::Held(Arc::from(&data[from..to]), 0);
            }
        }
        self.tokens = tokens;
        self.scratch.let_go();
        if self.between() {
            self.let_go();
        }
        Ok((at, feed.hits))
    }

    // The grammar -------------------------------------------------------------------------------------------------------

    fn walk(
        &mut self,
        py: Python<'_>,
        from: usize,
        tokens: &mut Vec<Token>,
        feed: &mut Feed,
        clear: &mut Clear,
    ) -> PyResult<usize> {
        let mut at = from;
        loop {
            if let Some(stop) = clear.stretch(at) {
                let to = self.skim(feed.data, at, stop);
                if to - at >= skim::BLOCK {
                    self.hits(at, tokens, feed)?;
                    feed.marked = to; // there are no signs up to there
                }
                at = to;
            }
            match self.step(py, feed.scan, feed.data, at, tokens) {
                Ok(end) => at = end,
                Err(Stop::Bad(why)) => return Err(PyValueError::new_err(why)),
                Err(Stop::Python(fault)) => return Err(fault),
                Err(stop) => return self.stuck(py, feed.scan, feed.data, at, stop, tokens),
            }
            if tokens.len() >= BATCH {
                self.hits(at, tokens, feed)?;
            }
        }
    }

    /// Take one value, one member or one end of a container.
    #[inline(always)]
    fn step(&mut self, py: Python<'_>, scan: &Scan, data: &[u8], at: usize, tokens: &mut Vec<Token>) -> Result<usize, Stop> {
        let start = at;
        let mut at = space(data, at);
        let mut name = None;
        if self.next != Next::Document {
            let Some(byte) = data.get(at) else { return Err(Stop::More) };
            let object = matches!(self.next, Next::FirstMember | Next::NextMember);
            if *byte == if object { b'}' } else { b']' } {
                if self.gone > 0 {
                    tokens.push(gone(start, at + 1));
                }
                self.close();
                return Ok(at + 1);
            }
            if matches!(self.next, Next::NextMember | Next::NextItem) {
                if *byte != b',' {
                    return Err(Stop::Bad(MALFORMED));
                }
                at = space(data, at + 1);
            }
            if object {
                match data.get(at) {
                    None => return Err(Stop::More),
                    Some(b'"') => {}
                    Some(_) => return Err(Stop::Bad(MALFORMED)),
                }
                let (end, escaped) = string(data, at)?;
                name = Some((at, end, escaped));
                at = space(data, end);
                match data.get(at) {
                    None => return Err(Stop::More),
                    Some(b':') => at = space(data, at + 1),
                    Some(_) => return Err(Stop::Bad(MALFORMED)),
                }
            }
        }
        let Some(byte) = data.get(at) else { return Err(Stop::More) };
        let (end, escaped) = match byte {
            b'"' => string(data, at)?,
            b'{' | b'[' => (at + 1, false),
            _ => (scalar(data, at)?, false),
        };
        if self.gone > 0 {
            tokens.push(gone(start, end));
            if matches!(byte, b'{' | b'[') {
                self.enter(py, *byte, TOP, Name::Nothing)?;
            } else {
                self.behind();
            }
            return Ok(end);
        }
        let (place, around) = self.place_of(py, scan, data, name, tokens)?;
        if let (Some((from, to, _)), Some(around)) = (name, self.open.last_mut()) {
            if &data[from..to] == NAMES {
                let says = *byte == b'"' && end - at <= SAID;
                around.said = if says { Said::Here(at, end) } else { Said::Nothing };
            }
        }
        let ruled = match &mut self.places {
            Some(places) => places.ruled(py, place)?,
            None => false,
        };
        if matches!(byte, b'{' | b'[') {
            let held = match &around {
                _ if *byte == b'{' => Name::Nothing,
                Around::Nothing => Name::Nothing,
                Around::Here(from, to) => {
                    let (name, signs) = self.kept(scan, &data[*from..*to])?;
                    Name::Held(name, signs)
                }
                Around::Held(at, signs) => Name::Held(self.held[*at as usize].clone(), *signs),
            };
            self.enter(py, *byte, place, held)?;
            if ruled {
                tokens.push(Token { look: RULED, start: at, end, place, around, hit: true, escaped });
                self.gone = self.open.len();
            }
            return Ok(end);
        }
        if *byte != b'"' && end - at > self.limits.number {
            return Err(Stop::Bad("a number in JSON that is too long"));
        }
        let look = match (end - at > self.limits.held, ruled) {
            (true, _) => UNREAD,
            (false, true) => RULED,
            (false, false) => VALUE,
        };
        // Numbers with nothing but a space between them are one run, whose sign stands where the first of them begins.
        let bare = self.open.is_empty() && *byte != b'"';
        tokens.push(Token { look, start: at, end, place, around, hit: look != VALUE || bare, escaped });
        self.behind();
        Ok(end)
    }

    #[inline(always)]
    fn place_of(
        &mut self,
        py: Python<'_>,
        scan: &Scan,
        data: &[u8],
        name: Option<(usize, usize, bool)>,
        tokens: &mut Vec<Token>,
    ) -> Result<(u32, Around), Stop> {
        let Some(around) = self.open.last_mut() else {
            let held = match &self.top_name {
                None => Around::Nothing,
                Some(name) => hold(&mut self.held, name.clone(), u32::MAX),
            };
            return Ok((self.top, held));
        };
        let Some((start, end, escaped)) = name else {
            if let Name::Here(from, to) = around.name {
                around.name = Name::Held(Arc::from(&data[from..to]), 0);
            }
            let held = match &around.name {
                Name::Nothing | Name::Here(..) => Around::Nothing,
                Name::Held(_, signs) if around.held.0 == self.batch => Around::Held(around.held.1, *signs),
                Name::Held(name, signs) => {
                    around.held = (self.batch, self.held.len() as u32);
                    hold(&mut self.held, name.clone(), *signs)
                }
            };
            return Ok((around.below, held));
        };
        if end - start > self.limits.name {
            return Err(Stop::Bad("a name in JSON that is too long"));
        }
        tokens.push(Token { look: NAME, start, end, place: around.place, around: Around::Nothing, hit: false, escaped });
        let place = match &mut self.places {
            Some(places) => {
                let said = match &around.said {
                    Said::Nothing => b"",
                    Said::Here(from, to) => &data[*from..*to],
                    Said::Held(said) => said.as_ref(),
                };
                places.member(py, around.place, &data[start..end], escaped, said)?
            }
            None => TOP,
        };
        if &data[start..end] != VALUES {
            return Ok((place, Around::Here(start, end)));
        }
        let beside = self.beside(scan, data)?;
        Ok((place, beside.unwrap_or(Around::Here(start, end))))
    }

    /// What the member `name` of the object says, for the member `value` beside it.
    #[cold]
    fn beside(&mut self, scan: &Scan, data: &[u8]) -> Result<Option<Around>, Stop> {
        let (said, signs) = match self.open.last().map(|around| &around.said) {
            Some(Said::Here(from, to)) => self.kept(scan, &data[*from..*to])?,
            Some(Said::Held(said)) => {
                let said = said.clone();
                self.kept(scan, &said)?
            }
            _ => return Ok(None),
        };
        Ok(Some(hold(&mut self.held, said, signs)))
    }

    fn enter(&mut self, py: Python<'_>, byte: u8, place: u32, name: Name) -> Result<(), Stop> {
        if self.open.len() >= self.limits.depth {
            return Err(Stop::Bad("JSON of too many levels"));
        }
        let object = byte == b'{';
        let below = match (&mut self.places, object) {
            (Some(places), false) => places.item(py, place)?,
            (Some(_), true) => place,
            (None, _) => TOP,
        };
        self.open.push(Open { object, place, below, name, held: (u64::MAX, 0), said: Said::Nothing });
        self.next = if object { Next::FirstMember } else { Next::FirstItem };
        Ok(())
    }

    /// The name of an array and what detectors may find because of it; the same few names come again and again.
    fn kept(&mut self, scan: &Scan, name: &[u8]) -> Result<(Arc<[u8]>, u32), Stop> {
        if let Some((known, signs)) = self.arrays.iter().find(|(known, _)| known.as_ref() == name) {
            return Ok((known.clone(), *signs));
        }
        let signs = match memchr(b'\\', name) {
            Some(_) => u32::MAX,
            None => scan.suspects(name, &mut self.scratch).map_err(limit)?,
        };
        if self.arrays.len() >= ARRAYS {
            self.arrays.clear();
        }
        self.arrays.push((Arc::from(name), signs));
        Ok((self.arrays[self.arrays.len() - 1].0.clone(), signs))
    }

    fn close(&mut self) {
        if self.gone == self.open.len() {
            self.gone = 0;
        }
        self.open.pop();
        self.behind();
    }

    /// A value has ended: what may follow it.
    fn behind(&mut self) {
        self.next = match self.open.last() {
            None => Next::Document,
            Some(around) if around.object => Next::NextMember,
            Some(_) => Next::NextItem,
        };
    }

    // Strings that are long ------------------------------------------------------------------------------------------------

    fn stuck(
        &mut self,
        py: Python<'_>,
        scan: &Scan,
        data: &[u8],
        at: usize,
        stop: Stop,
        tokens: &mut Vec<Token>,
    ) -> PyResult<usize> {
        let at = if self.open.is_empty() { space(data, at) } else { at };
        if data.len() - at <= self.limits.held {
            if let Stop::Within(string) = stop {
                if let Rest::Open(seen) | Rest::Cut(seen) = rest(data, string + 1).0 {
                    self.seen = seen - at;
                }
            }
            return Ok(at);
        }
        let too_long = || PyValueError::new_err(format!("more than {} bytes of JSON without a value", self.limits.held));
        let begun = match stop {
            Stop::Within(string) if data.len() - string > self.limits.held => self.begun(data, at),
            _ => None,
        };
        let Some((name, string)) = begun else {
            return if data.len() - at > self.limits.held + self.limits.name { Err(too_long()) } else { Ok(at) };
        };
        let cut = match rest(data, string + 1).0 {
            Rest::Ended(end) | Rest::Open(end) | Rest::Cut(end) => end,
        };
        if self.gone > 0 {
            tokens.push(gone(at, cut));
        } else {
            match self.place_of(py, scan, data, name, tokens) {
                Ok((place, around)) => {
                    tokens.push(Token { look: UNREAD, start: string, end: cut, place, around, hit: true, escaped: true });
                }
                Err(Stop::Python(fault)) => return Err(fault),
                Err(_) => return Err(PyValueError::new_err("a name in JSON that is too long")),
            }
        }
        self.within = true;
        Ok(cut)
    }

    /// Where the value begins whose end has not come, if it is a string, and the name before it.
    fn begun(&self, data: &[u8], at: usize) -> Option<(Option<(usize, usize, bool)>, usize)> {
        let mut at = space(data, at);
        if matches!(self.next, Next::NextMember | Next::NextItem) {
            at = space(data, at + 1);
        }
        let mut name = None;
        if matches!(self.next, Next::FirstMember | Next::NextMember) {
            let (end, escaped) = string(data, at).ok()?;
            name = Some((at, end, escaped));
            at = space(data, space(data, end) + 1);
        }
        (data.get(at) == Some(&b'"')).then_some((name, at))
    }

    /// Go on inside of a string that is too long.
    fn go_on(&mut self, data: &[u8], tokens: &mut Vec<Token>) -> PyResult<usize> {
        let end = match rest(data, 0).0 {
            Rest::Ended(end) => {
                self.within = false;
                self.behind();
                end
            }
            Rest::Open(end) => end,
            Rest::Cut(end) if end == data.len() || cut_escape(&data[end..]) => end,
            Rest::Cut(_) => return Err(PyValueError::new_err(MALFORMED)),
        };
        tokens.push(gone(0, end));
        Ok(end)
    }

    // What may hold something ----------------------------------------------------------------------------------------------

    /// Which of the tokens somebody must look at, and what is covered here; they end at `end`.
    fn hits(&mut self, end: usize, tokens: &mut Vec<Token>, feed: &mut Feed) -> PyResult<()> {
        let Feed { scan, data, every, .. } = *feed;
        let mut masks = std::mem::take(&mut self.masks);
        masks.clear();
        masks.resize(tokens.len() + 1, 0);
        if !every && !scan.detectors.is_empty() {
            self.ends.clear();
            self.ends.extend(tokens.iter().map(|token| token.end));
            self.ends.push(usize::MAX);
            scan.mark(&data[..end], feed.marked, &mut self.lower, &self.ends, &mut masks);
        }
        feed.marked = end;
        let mut before = 0;
        for (token, mask) in tokens.iter().zip(&masks) {
            let signs = match &token.around {
                Around::Nothing => 0,
                Around::Here(..) => before,
                Around::Held(_, signs) => *signs,
            };
            before = mask | if token.escaped { NAMED } else { 0 };
            if !token.hit && !every && mask | signs == 0 && !token.escaped {
                continue;
            }
            let look = if token.hit || every { Held::Python } else { self.holds(scan, data, token, *mask, signs).map_err(limit)? };
            let name = match look {
                Held::Nothing => continue,
                Held::Suspects(set) => match self.covered(scan, data, token, set, feed.counts) {
                    Some(None) => continue,
                    Some(Some(new)) => {
                        feed.hits.push((NEW, token.start, token.end, token.place, Cow::Owned(new)));
                        continue;
                    }
                    None => self.named(data, token.around),
                },
                Held::Python => self.named(data, token.around),
            };
            feed.hits.push((token.look, token.start, token.end, token.place, name));
        }
        tokens.clear();
        self.held.clear();
        self.batch += 1;
        self.masks = masks;
        Ok(())
    }

    /// The name around a token, as it is written.
    fn named<'a>(&self, data: &'a [u8], around: Around) -> Cow<'a, [u8]> {
        match around {
            Around::Nothing => Cow::Borrowed(&b""[..]),
            Around::Here(from, to) => Cow::Borrowed(&data[from..to]),
            Around::Held(at, _) => Cow::Owned(self.held[at as usize].to_vec()),
        }
    }

    /// A token with its findings covered, where nothing about it is special; `Some(None)`: there are none. Else Python covers it.
    fn covered(&mut self, scan: &Scan, data: &[u8], token: &Token, set: u32, counts: &mut [u64]) -> Option<Option<Vec<u8>>> {
        let written = &data[token.start..token.end];
        let held = match token.around {
            Around::Held(at, _) => Some(self.held[at as usize].clone()),
            _ => None,
        };
        let name: &[u8] = match (&held, token.around) {
            (Some(name), _) => name,
            (None, Around::Here(from, to)) => &data[from..to],
            _ => b"",
        };
        let size = written.len() + name.len() + 1;
        if size > LONG || memchr(b'\\', name).is_some() {
            return None;
        }
        self.plain.clear();
        if !name.is_empty() {
            self.plain.extend_from_slice(name);
            self.plain.push(b':');
        }
        let head = self.plain.len();
        self.plain.extend_from_slice(written);
        let before: Vec<u64> = counts.to_vec();
        let mut work = Work(EFFORT * (self.plain.len() + 64));
        work.spend(self.plain.len()).ok()?;
        let new = match scan.cover(&self.plain, set, counts, &mut work, &mut self.scratch) {
            Ok(None) => return Some(None),
            Ok(Some(new)) if new.starts_with(&self.plain[..head]) => new,
            _ => {
                counts.copy_from_slice(&before);
                return None;
            }
        };
        let new = if written[0] == b'"' { new[head..].to_vec() } else { [b"\"", &new[head..], b"\""].concat() };
        match string(&new, 0) {
            Ok((end, _)) if end == new.len() && new[0] == b'"' && std::str::from_utf8(&new).is_ok() => Some(Some(new)),
            _ => {
                counts.copy_from_slice(&before);
                None
            }
        }
    }

    /// Whether a detector may find something in a token, beside its name; `signs` are those of the name.
    fn holds(&mut self, scan: &Scan, data: &[u8], token: &Token, mask: u32, signs: u32) -> Result<Held, Halt> {
        let written = &data[token.start..token.end];
        if token.escaped && token.look == VALUE && nested(written) && (self.places.is_some() || !scan.detectors.is_empty()) {
            return Ok(Held::Python);
        }
        if scan.detectors.is_empty() {
            return Ok(Held::Nothing);
        }
        let held = match token.around {
            Around::Held(at, _) => Some(self.held[at as usize].clone()),
            _ => None,
        };
        let name: &[u8] = match (&held, token.around) {
            (Some(name), _) => name,
            (None, Around::Here(from, to)) => &data[from..to],
            _ => b"",
        };
        if (token.escaped && hides(written)) || (signs & NAMED != 0 && hides(name)) {
            self.plain.clear();
            plain(name, &mut self.plain);
            plain(written, &mut self.plain);
            let found = scan.suspects(&self.plain, &mut self.scratch)?;
            return Ok(if found != 0 { Held::Python } else { Held::Nothing });
        }
        let mask = (mask | signs) & all(scan);
        if mask == 0 {
            return Ok(Held::Nothing);
        }
        let found = match token.around {
            Around::Here(from, _) => scan.hinted(&data[from..token.end], mask, &mut self.scratch)?,
            _ if name.is_empty() => scan.hinted(written, mask, &mut self.scratch)?,
            _ => scan.hinted(written, mask, &mut self.scratch)? | scan.hinted(name, mask, &mut self.scratch)?,
        };
        Ok(if found != 0 { Held::Suspects(found) } else { Held::Nothing })
    }
}

/// What one call of `feed` works on.
struct Feed<'a, 'c> {
    scan: &'c Scan,
    data: &'a [u8],
    every: bool,
    counts: &'c mut [u64],
    marked: usize, // how far signs were looked for
    hits: Vec<Hit<'a>>,
}

enum Held {
    Nothing,
    Suspects(u32),
    Python,
}

fn hold(held: &mut Vec<Arc<[u8]>>, name: Arc<[u8]>, signs: u32) -> Around {
    held.push(name);
    Around::Held((held.len() - 1) as u32, signs)
}

fn limit(_: Halt) -> PyErr {
    PyValueError::new_err("JSON in which a detector met its limit")
}

fn all(scan: &Scan) -> u32 {
    u32::MAX >> (32 - scan.detectors.len().max(1))
}

fn gone(start: usize, end: usize) -> Token {
    Token { look: GONE, start, end, place: TOP, around: Around::Nothing, hit: true, escaped: false }
}

/// Whether a string may be a document by itself.
fn nested(written: &[u8]) -> bool {
    if written.first() != Some(&b'"') || memchr(b'\\', written).is_none() {
        return false;
    }
    let inner = &written[1..];
    match inner.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[') => true,
        Some(b'\\') => true, // white space or a bracket may be written as an escape
        Some(byte) => *byte >= 0x80,
        None => false,
    }
}

/// Whether a string has escapes that hide what it says from hints.
fn hides(written: &[u8]) -> bool {
    memmem::find(written, b"\\u").is_some() || memmem::find(written, b"\\/").is_some()
}

/// A string without the escapes that hide something. It need not be a string of JSON any more.
fn plain(written: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(found) = memchr(b'\\', &written[at..]) {
        let escape = at + found;
        out.extend_from_slice(&written[at..escape]);
        match written.get(escape + 1) {
            Some(b'/') => {
                out.push(b'/');
                at = escape + 2;
            }
            Some(b'u') => {
                let (char, size) = unicode(&written[escape..]);
                match char {
                    Some(char) if !matches!(char, '"' | '\\') && char >= ' ' => {
                        out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                    Some(_) => out.extend_from_slice(&written[escape..escape + size]),
                    None => out.extend_from_slice(&[0xED, 0xA0, 0x80]), // half of a pair, as Python writes it
                }
                at = escape + size;
            }
            _ => {
                out.extend_from_slice(&written[escape..(escape + 2).min(written.len())]);
                at = escape + 2;
            }
        }
    }
    out.extend_from_slice(&written[at.min(written.len())..]);
}

/// What an escape of four hex digits stands for, with its second half where it has one, and how long it is.
fn unicode(escape: &[u8]) -> (Option<char>, usize) {
    let code = |at: usize| {
        let digits = escape.get(at..at + 6)?;
        if !digits.starts_with(b"\\u") {
            return None;
        }
        u32::from_str_radix(std::str::from_utf8(&digits[2..]).ok()?, 16).ok()
    };
    match (code(0), code(6)) {
        (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) => {
            (char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)), 12)
        }
        (Some(code), _) => (char::from_u32(code), 6),
        (None, _) => (None, escape.len().min(6)),
    }
}

// Tokens --------------------------------------------------------------------------------------------------------------------

fn space(data: &[u8], mut at: usize) -> usize {
    while matches!(data.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

enum Rest {
    Ended(usize), // behind the closing quote
    Open(usize),
    Cut(usize), // before something that is no whole escape, or no part of a string
}

/// Go on inside of a string from there; also whether it has a backslash.
fn rest(data: &[u8], from: usize) -> (Rest, bool) {
    let mut at = from;
    let mut escaped = false;
    loop {
        at = ordinary(data, at);
        match data.get(at) {
            None => return (Rest::Open(at), escaped),
            Some(b'"') => return (Rest::Ended(at + 1), escaped),
            Some(b'\\') => match data.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                Some(b'u') if data.get(at + 2..at + 6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => at += 6,
                _ => return (Rest::Cut(at), escaped),
            },
            Some(_) => return (Rest::Cut(at), escaped),
        }
        escaped = true;
    }
}

/// Over bytes that stand for themselves in a string, sixteen at a time.
fn ordinary(data: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(bytes) = data.get(at..at + 16) {
        let bytes = u8x16::new(bytes.try_into().expect("sixteen bytes"));
        let control = bytes.min(u8x16::splat(0x1F)).cmp_eq(bytes);
        let special = (bytes.cmp_eq(u8x16::splat(b'"')) | bytes.cmp_eq(u8x16::splat(b'\\')) | control).move_mask();
        if special != 0 {
            return at + special.trailing_zeros() as usize;
        }
        at += 16;
    }
    while data.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1F)) {
        at += 1;
    }
    at
}

/// An escape that is cut off at the end of the data.
fn cut_escape(tail: &[u8]) -> bool {
    tail.len() < 6
        && tail.first() == Some(&b'\\')
        && (tail.len() == 1 || (tail[1] == b'u' && tail[2..].iter().all(u8::is_ascii_hexdigit)))
}

/// Behind the string that begins there, and whether it has a backslash.
fn string(data: &[u8], at: usize) -> Result<(usize, bool), Stop> {
    match rest(data, at + 1) {
        (Rest::Ended(end), escaped) => Ok((end, escaped)),
        (Rest::Open(_), _) => Err(Stop::Within(at)),
        (Rest::Cut(end), _) if cut_escape(&data[end..]) => Err(Stop::Within(at)),
        (Rest::Cut(_), _) => Err(Stop::Bad(MALFORMED)),
    }
}

/// Behind the number or word that begins there; something must follow it.
fn scalar(data: &[u8], at: usize) -> Result<usize, Stop> {
    let size = data[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')).count();
    let text = &data[at..at + size];
    match data.get(at + size) {
        Some(b' ' | b'\t' | b'\r' | b'\n' | b',' | b']' | b'}') if matches!(text, b"true" | b"false" | b"null") || number(text) => Ok(at + size),
        Some(_) => Err(Stop::Bad(MALFORMED)),
        None => {
            let digits = text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'));
            if digits || (size <= 5 && text.iter().all(u8::is_ascii_lowercase)) {
                Err(Stop::More)
            } else {
                Err(Stop::Bad(MALFORMED))
            }
        }
    }
}

fn number(text: &[u8]) -> bool {
    let digits = |at: usize| text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && text[at] == b'0') {
        return false;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let part = digits(at + 1);
        if part == 0 {
            return false;
        }
        at += 1 + part;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(text.get(at), Some(b'-' | b'+')));
        let part = digits(at.min(text.len()));
        if part == 0 {
            return false;
        }
        at += part;
    }
    at == text.len()
}
