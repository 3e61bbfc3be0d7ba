//! The plain way of one session (`relay_lane.py`): a whole request that came before and the whole answer to it, in a call each.
//!
//! A request is known by the bytes that stand for it: the name of a prepared statement, a text, or a text's skeleton and those
//! of its numbers that may not vary. Nothing is done here: no socket, no file, no clock. Python asks, writes down what is
//! composed here, and only then has the bytes. Whatever is not known, not whole or not as expected is None, and nothing of it
//! was taken: Python's own way does it, and says what is wrong with it.

use std::collections::HashMap;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use memchr::{memchr, memmem};
use pcre2::bytes::{Regex, RegexBuilder};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sha2::Sha256;

use crate::binary::{u16_at, u32_at};
use crate::scan::{Scan, Scratch, Work};
use crate::{Rows, Table, BUFFERS, HEAD};

const SHOWN: usize = 1_500; // characters of a request in the log, as Python has it; what is longer is Python's to cut
const VALUE: usize = 200; // bytes of one that are shown; the same
const STATUS: usize = 15; // digits of a number of rows that is exact in every reader of JSON
const NULL: u32 = 0xFFFF_FFFF;
const SKELETON_MARK: u8 = 2; // in the place of a number; no plain text has it
const SYNC: &[u8] = b"S\0\0\0\x04";
const DESCRIBE: &[u8] = b"D\0\0\0\x06P\0";
const EXECUTE: &[u8] = b"E\0\0\0\x09\0"; // and a limit of four bytes
const BOUND: &[u8] = b"2\0\0\0\x04";
const READY: &[u8] = b"Z\0\0\0\x05I";
const BEHIND: &[u8] = b" -- "; // a text in the log, before its values
const OURS: [&[u8]; 4] = [b"***", b"gbk_", b"h:", b"<"]; // one of them is in whatever stands here for a covered value

/// What was said, decided and shown of a request, and what is so each time it comes again.
struct Ticket {
    kept: Py<PyAny>,
    shown: Option<Vec<u8>>, // None: the text itself
    size: usize,
    mac: Hmac<Sha256>,
    action: Vec<Vec<u8>>,
    answer: Vec<Vec<u8>>,
    asked: Vec<Vec<u8>>,
    description: Vec<u8>,
    rows: Py<Rows>,
}

/// A request on its way.
struct Flight {
    ticket: Arc<Ticket>,
    query: bool,
    own: bool, // the Describe in it is the gateway's
    shown: Vec<u8>,
    size: usize,
    digest: String,
    data: Py<PyBytes>,
    number: u64,
    decision: String,
    at: u64,
    written: bool,
    answered: Option<Answered>,
}

struct Answered {
    status: String,
    rows: u64,
    size: usize,
    masked: String,
    milliseconds: u64,
    shown: Py<PyBytes>,
}

/// Texts of one skeleton: the places of numbers that may not vary, those numbers, and the ticket.
type Alike = Vec<(Vec<(usize, Vec<u8>)>, Arc<Ticket>)>;

#[pyclass]
pub struct Lane {
    looks: Looks,
    plain: Regex,
    named: HashMap<Vec<u8>, Arc<Ticket>>,
    exact: HashMap<Vec<u8>, Arc<Ticket>>,
    alike: HashMap<Vec<u8>, Alike>,
    flight: Option<Flight>,
    ids: Ids,
}

#[pymethods]
impl Lane {
    /// `plain` is the pattern of texts that have a skeleton.
    #[new]
    fn new(table: &Table, plain: &str) -> PyResult<Lane> {
        let built = RegexBuilder::new().extended(true).jit_if_available(true).build(&format!("\\G(?:{plain})\\z"));
        Ok(Lane {
            looks: Looks { scan: table.scan.clone(), scratch: Scratch::default(), work: table.types.work },
            plain: built.map_err(|fault| PyValueError::new_err(fault.to_string()))?,
            named: HashMap::new(),
            exact: HashMap::new(),
            alike: HashMap::new(),
            flight: None,
            ids: Ids::default(),
        })
    }

    /// Know a request from now on. `name` is that of a prepared statement, None for a text; `fixed` has the places of those
    /// numbers of the text that may not vary, None where the text is known as it is. `entries` are the pieces of the two
    /// entries and of the recorded request between what differs each time.
    #[pyo3(signature = (kept, name, text, fixed, shown, salt, entries, description, rows))]
    #[allow(clippy::too_many_arguments)]
    fn keep(
        &mut self,
        kept: Py<PyAny>,
        name: Option<Vec<u8>>,
        text: Vec<u8>,
        fixed: Option<Vec<usize>>,
        shown: Option<Vec<u8>>,
        salt: &[u8],
        entries: (Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<Vec<u8>>),
        description: Vec<u8>,
        rows: Py<Rows>,
    ) -> PyResult<()> {
        let mut mac = Hmac::<Sha256>::new_from_slice(salt).map_err(|fault| PyValueError::new_err(fault.to_string()))?;
        if name.is_some() {
            mac.update(&text);
            mac.update(b"\0");
        }
        let (action, answer, asked) = entries;
        if action.len() != 9 || answer.len() != 10 || asked.len() != 4 {
            return Err(PyValueError::new_err("entries of other pieces"));
        }
        let size = text.len();
        let ticket = Arc::new(Ticket { kept, shown, size, mac, action, answer, asked, description, rows });
        match (name, fixed) {
            (Some(name), _) => {
                self.named.insert(name, ticket);
            }
            (None, None) => {
                self.exact.insert(text, ticket);
            }
            (None, Some(places)) => {
                let (skeleton, numbers) = skeleton(&text);
                let number = |place: usize| numbers.get(place).map(|found| (place, text[found.clone()].to_vec()));
                let fixed: Option<Vec<_>> = places.into_iter().map(number).collect();
                let fixed = fixed.ok_or_else(|| PyValueError::new_err("no such number in the text"))?;
                let alike = self.alike.entry(skeleton).or_default();
                alike.retain(|(known, _)| *known != fixed);
                alike.push((fixed, ticket));
            }
        }
        Ok(())
    }

    /// Know none any more. What is on its way stays.
    fn forget(&mut self) {
        self.named.clear();
        self.exact.clear();
        self.alike.clear();
    }

    /// The ticket of the request that these bytes are, whole and alone; None if it is none that is known.
    fn request<'py>(&mut self, py: Python<'py>, data: &Bound<'py, PyBytes>) -> Option<Py<PyAny>> {
        if self.flight.is_some() {
            return None;
        }
        let bytes = data.as_bytes();
        let flight = match bytes.first()? {
            b'B' => self.bind(bytes, data),
            b'Q' => self.query(bytes, data),
            _ => None,
        }?;
        let kept = flight.ticket.kept.clone_ref(py);
        self.flight = Some(flight);
        Some(kept)
    }

    /// The request is not taken, or not any more: it is Python's.
    fn drop(&mut self) {
        self.flight = None;
    }

    /// Its number from now on, and when it was decided and recorded; the decision's id, and the text that the log shows.
    fn decided(&mut self, py: Python<'_>, number: u64, now: u64, at: u64) -> PyResult<(String, String)> {
        let flight = self.flight.as_mut().ok_or_else(nothing)?;
        (flight.number, flight.decision, flight.at) = (number, self.ids.next(py, now)?, at);
        Ok((flight.decision.clone(), String::from_utf8_lossy(&flight.shown).into_owned()))
    }

    /// Its entry in the ledger.
    fn entry<'py>(&mut self, py: Python<'py>, time: u64, seq: u64) -> PyResult<Bound<'py, PyBytes>> {
        let id = self.ids.next(py, time)?;
        let flight = self.flight.as_mut().ok_or_else(nothing)?;
        let pieces = &flight.ticket.action;
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(&pieces[0]);
        number(&mut out, flight.number);
        out.extend_from_slice(&pieces[1]);
        quoted(&mut out, flight.decision.as_bytes());
        out.extend_from_slice(&pieces[2]);
        quoted(&mut out, id.as_bytes());
        out.extend_from_slice(&pieces[3]);
        number(&mut out, seq);
        out.extend_from_slice(&pieces[4]);
        number(&mut out, flight.size as u64);
        out.extend_from_slice(&pieces[5]);
        quoted(&mut out, flight.digest.as_bytes());
        out.extend_from_slice(&pieces[6]);
        quoted(&mut out, &flight.shown);
        out.extend_from_slice(&pieces[7]);
        number(&mut out, time);
        out.extend_from_slice(&pieces[8]);
        flight.written = true;
        Ok(PyBytes::new(py, &out))
    }

    /// What the target gets, once its entry was composed.
    fn sent<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let flight = self.flight.as_ref().filter(|flight| flight.written).ok_or_else(nothing)?;
        let data = flight.data.bind(py);
        if !flight.own {
            return Ok(data.clone());
        }
        let bytes = data.as_bytes();
        let at = 1 + u32_at(bytes, 1).unwrap_or(0) as usize;
        Ok(PyBytes::new(py, &[&bytes[..at], DESCRIBE, &bytes[at..]].concat()))
    }

    /// How it ended and how many rows it says, if these bytes are the whole answer to it and nothing else; None if not.
    fn answer(&mut self, py: Python<'_>, data: &Bound<'_, PyBytes>, limit: usize, milliseconds: u64) -> Option<(String, u64)> {
        let flight = self.flight.as_mut().filter(|flight| flight.written)?;
        let answered = answered(py, flight, data, limit, milliseconds)?;
        let found = (answered.status.clone(), answered.rows);
        flight.answered = Some(answered);
        Some(found)
    }

    /// The entry of its answer.
    fn answer_entry<'py>(&mut self, py: Python<'py>, time: u64, seq: u64) -> PyResult<Bound<'py, PyBytes>> {
        let id = self.ids.next(py, time)?;
        let (flight, answered) = self.over()?;
        let pieces = &flight.ticket.answer;
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(&pieces[0]);
        number(&mut out, flight.number);
        out.extend_from_slice(&pieces[1]);
        number(&mut out, answered.size as u64);
        out.extend_from_slice(&pieces[2]);
        quoted(&mut out, id.as_bytes());
        out.extend_from_slice(&pieces[3]);
        out.extend_from_slice(answered.masked.as_bytes());
        out.extend_from_slice(&pieces[4]);
        number(&mut out, answered.milliseconds);
        out.extend_from_slice(&pieces[5]);
        number(&mut out, answered.rows);
        out.extend_from_slice(&pieces[6]);
        number(&mut out, seq);
        out.extend_from_slice(&pieces[7]);
        quoted(&mut out, answered.status.as_bytes());
        out.extend_from_slice(&pieces[8]);
        number(&mut out, time);
        out.extend_from_slice(&pieces[9]);
        Ok(PyBytes::new(py, &out))
    }

    /// Request, end and bytes as the recording's events, each behind its head.
    fn events<'py>(&self, py: Python<'py>, now: u64) -> PyResult<Bound<'py, PyBytes>> {
        let (flight, answered) = self.over()?;
        let shown = answered.shown.bind(py).as_bytes();
        let pieces = &flight.ticket.asked;
        let mut out = Vec::with_capacity(1024 + shown.len());
        event(&mut out, b'q', flight.at, |out| {
            out.extend_from_slice(&pieces[0]);
            number(out, flight.number);
            out.extend_from_slice(&pieces[1]);
            quoted(out, &flight.shown);
            out.extend_from_slice(&pieces[2]);
            quoted(out, flight.decision.as_bytes());
            out.extend_from_slice(&pieces[3]);
        });
        event(&mut out, b'a', now, |out| {
            out.extend_from_slice(b"{\"seq\":");
            number(out, flight.number);
            out.extend_from_slice(b",\"status\":");
            quoted(out, answered.status.as_bytes());
            out.extend_from_slice(b",\"rows\":");
            number(out, answered.rows);
            out.extend_from_slice(b",\"masked\":");
            out.extend_from_slice(answered.masked.as_bytes());
            out.push(b'}');
        });
        event(&mut out, b's', now, |out| out.extend_from_slice(shown));
        Ok(PyBytes::new(py, &out))
    }

    /// What the client gets; with it the request is over.
    fn told<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let answered = self.flight.take().and_then(|flight| flight.answered).ok_or_else(nothing)?;
        Ok(answered.shown.into_bound(py))
    }
}

/// Identifiers as `entries.uuid7` makes them. Owned by one session, so that no two processes have the same chance.
#[derive(Default)]
struct Ids {
    chance: Vec<u8>,
}

impl Ids {
    const CHANCE: usize = 10; // bytes of an identifier
    const AHEAD: usize = 64; // identifiers whose chance is asked for at once

    /// A UUIDv7 for a time in microseconds.
    fn next(&mut self, py: Python<'_>, time: u64) -> PyResult<String> {
        if self.chance.len() < Ids::CHANCE {
            self.chance = py.import("os")?.getattr("urandom")?.call1((Ids::CHANCE * Ids::AHEAD,))?.extract()?;
        }
        let chance = self.chance.split_off(self.chance.len() - Ids::CHANCE);
        let milliseconds = time / 1000 & 0xFFFF_FFFF_FFFF;
        let bits = chance.iter().fold(0u128, |bits, byte| bits << 8 | u128::from(*byte)) & ((1 << 74) - 1);
        let value = u128::from(milliseconds) << 80 | 7 << 76 | (bits >> 62) << 64 | 2 << 62 | bits & ((1 << 62) - 1);
        let digits = format!("{value:032x}");
        Ok([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
    }
}

/// The detectors, asked whether they find nothing.
struct Looks {
    scan: Arc<Scan>,
    scratch: Scratch,
    work: usize,
}

impl Looks {
    fn clean(&mut self, text: &[u8]) -> bool {
        let mut work = Work(self.work);
        let found = work.spend(text.len()).and_then(|()| self.scan.suspects(text, &mut self.scratch));
        match found {
            Ok(0) => true,
            Ok(suspects) => {
                let counts = &mut [0; 32];
                matches!(self.scan.cover(text, suspects, counts, &mut work, &mut self.scratch), Ok(None))
            }
            Err(_) => false,
        }
    }
}

fn nothing() -> PyErr {
    PyValueError::new_err("nothing of the kind is on its way")
}

impl Lane {
    fn over(&self) -> PyResult<(&Flight, &Answered)> {
        let flight = self.flight.as_ref().ok_or_else(nothing)?;
        let answered = flight.answered.as_ref().ok_or_else(nothing)?;
        Ok((flight, answered))
    }

    /// A Bind of the unnamed portal, with or without its Describe, its Execute and its Sync.
    fn bind(&mut self, data: &[u8], object: &Bound<'_, PyBytes>) -> Option<Flight> {
        let end = 1 + u32_at(data, 1)? as usize;
        let rest = data.get(end..)?;
        let (own, rest) = rest.strip_prefix(DESCRIBE).map_or((true, rest), |rest| (false, rest));
        if rest.strip_prefix(EXECUTE)?.get(4..)? != SYNC || *data.get(HEAD)? != 0 {
            return None;
        }
        let body = &data[HEAD + 1..end];
        let name = memchr(0, body)?;
        let ticket = self.named.get(&body[..name])?.clone();
        let mut mac = ticket.mac.clone();
        let mut shown = ticket.shown.clone()?;
        let size = bound(&body[name + 1..], &mut shown, &mut mac)?;
        let from = ticket.shown.as_ref()?.len() + BEHIND.len();
        if shown.len() <= from {
            shown.truncate(from - BEHIND.len()); // no value, or an empty one
        } else if shown.len() > SHOWN || !self.looks.clean(&shown[from..]) {
            return None;
        }
        Some(flight(ticket, false, own, shown, mac, size, object))
    }

    /// A Query.
    fn query(&mut self, data: &[u8], object: &Bound<'_, PyBytes>) -> Option<Flight> {
        let length = u32_at(data, 1)? as usize;
        if data.len() != length + 1 {
            return None;
        }
        let (last, text) = data[HEAD..].split_last()?;
        if *last != 0 || memchr(0, text).is_some() {
            return None;
        }
        let ticket = self.exact.get(text).cloned().or_else(|| self.similar(text))?;
        let mut mac = ticket.mac.clone();
        mac.update(text);
        mac.update(b"\0");
        let shown = match &ticket.shown {
            Some(shown) => shown.clone(),
            None if text.len() <= SHOWN && self.looks.clean(text) => text.to_vec(),
            None => return None,
        };
        Some(flight(ticket, true, false, shown, mac, text.len(), object))
    }

    fn similar(&self, text: &[u8]) -> Option<Arc<Ticket>> {
        if self.alike.is_empty() || text.len() > SHOWN || !self.plain.is_match(text).ok()? {
            return None;
        }
        let (skeleton, numbers) = skeleton(text);
        let same = |(place, number): &(usize, Vec<u8>)| numbers.get(*place).is_some_and(|found| text[found.clone()] == number[..]);
        let found = self.alike.get(&skeleton)?.iter().find(|(fixed, _)| fixed.iter().all(same));
        found.map(|(_, ticket)| ticket.clone())
    }
}

fn flight(
    ticket: Arc<Ticket>,
    query: bool,
    own: bool,
    shown: Vec<u8>,
    mac: Hmac<Sha256>,
    size: usize,
    data: &Bound<'_, PyBytes>,
) -> Flight {
    let size = if query { size } else { ticket.size + size };
    Flight {
        ticket,
        query,
        own,
        shown,
        size,
        digest: commitment(&mac.finalize().into_bytes()),
        data: data.clone().unbind(),
        number: 0,
        decision: String::new(),
        at: 0,
        written: false,
        answered: None,
    }
}

/// Take the rest of a Bind apart: its values behind the text that is shown, and into what is digested. The size of its values.
fn bound(body: &[u8], shown: &mut Vec<u8>, mac: &mut Hmac<Sha256>) -> Option<usize> {
    let mut at = formats(body, 0)?;
    let count = u16_at(body, at)?;
    at += 2;
    let mut sum = 0;
    for number in 0..count {
        shown.extend_from_slice(if number == 0 { BEHIND } else { b", " });
        let size = u32_at(body, at)?;
        at += 4;
        if size == NULL {
            mac.update(b"n");
            shown.extend_from_slice(b"NULL");
            continue;
        }
        let value = body.get(at..at.checked_add(size as usize)?)?;
        at += value.len();
        sum += value.len();
        if value.len() > VALUE || OURS.iter().any(|ours| memmem::find(value, ours).is_some()) {
            return None;
        }
        readable(shown, value)?;
        let mut hex = Vec::with_capacity(value.len() * 2 + 4);
        hex.extend_from_slice(format!("{}:", value.len()).as_bytes());
        hex.extend(value.iter().flat_map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]));
        mac.update(&hex);
    }
    (formats(body, at)? == body.len()).then_some(sum)
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn formats(body: &[u8], at: usize) -> Option<usize> {
    let end = at + 2 + 2 * usize::from(u16_at(body, at)?);
    let codes = body.get(at + 2..end)?;
    codes.chunks(2).all(|code| code[0] == 0 && code[1] <= 1).then_some(end)
}

/// A value as the log shows it; None for one that only Python can tell about.
fn readable(shown: &mut Vec<u8>, value: &[u8]) -> Option<()> {
    if value.is_ascii() {
        if value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')) {
            shown.extend_from_slice(value);
            return Some(());
        }
    } else if std::str::from_utf8(value).is_ok() {
        return None;
    }
    shown.extend_from_slice(format!("{} bytes", value.len()).as_bytes());
    Some(())
}

/// A plain text with a mark for each number, and where those are.
fn skeleton(text: &[u8]) -> (Vec<u8>, Vec<std::ops::Range<usize>>) {
    let (mut out, mut numbers) = (Vec::with_capacity(text.len()), Vec::new());
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let end = match byte {
            b'"' | b'\'' => memchr(byte, &text[at + 1..]).map_or(text.len(), |found| at + 2 + found),
            b'0'..=b'9' => at + text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count(),
            _ => at + 1,
        };
        if byte.is_ascii_digit() && (at == 0 || !word(text[at - 1])) {
            out.push(SKELETON_MARK);
            numbers.push(at..end);
        } else {
            out.extend_from_slice(&text[at..end]);
        }
        at = end;
    }
    (out, numbers)
}

/// The answer, if it is all of it and as such answers are.
fn answered(py: Python<'_>, flight: &Flight, object: &Bound<'_, PyBytes>, limit: usize, milliseconds: u64) -> Option<Answered> {
    let data = object.as_bytes();
    if data.len() > limit {
        return None;
    }
    let start = if flight.query { 0 } else { BOUND.len() };
    if !flight.query && !data.starts_with(BOUND) {
        return None;
    }
    let ticket = &flight.ticket;
    if !data[start..].starts_with(&ticket.description) {
        return None;
    }
    let from = start + ticket.description.len();
    let mut rows = ticket.rows.try_borrow_mut(py).ok()?;
    let mut buffers = BUFFERS.take();
    let fed = rows.run(data, from, limit, &mut buffers);
    let ended = ended(&data[fed.end..]);
    let mut masked = Vec::new();
    let Rows { rows: inner, .. } = &mut *rows;
    for (name, count) in inner.names.iter().zip(&mut inner.counts) {
        if *count > 0 {
            masked.push((name.clone(), *count));
            *count = 0;
        }
    }
    inner.let_go();
    let shown = ended.is_some().then(|| {
        if !fed.changed && !flight.own {
            return object.clone().unbind();
        }
        let head = if flight.own { &data[..start] } else { &data[..from] };
        let middle = if fed.changed { &buffers.out[..] } else { &data[from..fed.end] };
        PyBytes::new(py, &[head, middle, &data[fed.end..]].concat()).unbind()
    });
    BUFFERS.set(buffers);
    let (status, rows) = ended?;
    masked.sort();
    let counted: Vec<String> = masked.iter().map(|(name, count)| format!("\"{name}\":{count}")).collect();
    Some(Answered { status, rows, size: fed.size, masked: format!("{{{}}}", counted.join(",")), milliseconds, shown: shown? })
}

/// What is left of an answer behind its rows, if it is what it has to be: how it ended, and how many rows it says.
fn ended(data: &[u8]) -> Option<(String, u64)> {
    let length = u32_at(data, 1)? as usize;
    if data[0] != b'C' || data.get(length + 1..)? != READY {
        return None;
    }
    let tag = data.get(HEAD..length + 1)?.strip_suffix(b"\0")?;
    let digits = tag.strip_prefix(b"SELECT ")?;
    if digits.is_empty() || digits.len() > STATUS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = std::str::from_utf8(digits).ok()?;
    Some((format!("SELECT {digits}"), digits.parse().ok()?))
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(value.to_string().as_bytes());
}

/// A string of JSON as RFC 8785 writes it.
fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\x08' => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\x0c' => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

fn event(out: &mut Vec<u8>, kind: u8, time: u64, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(kind);
    out.extend_from_slice(&time.to_be_bytes());
    let from = out.len();
    write(out);
    let size = (out.len() - from) as u32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// 32 bytes as 43 characters of URL-safe base64.
fn commitment(digest: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::with_capacity(44);
    for part in digest.chunks(3) {
        let bits = part.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for place in 0..=part.len() {
            out.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
    out
}
