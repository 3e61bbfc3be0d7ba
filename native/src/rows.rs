//! The rows of one result: what `gatebook.protocols.postgres.rows` does to the body of a DataRow.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use memchr::memmem;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sha2::Sha256;

use crate::binary::{elements, i32_at, readable, u32_at, unescaped, whole_number};
use crate::checks::{card_covered, left_stripped, local_part, stripped};
use crate::scan::{Halt, Scan, Scratch, Work};

const JSON: u32 = 114;
const JSONB: u32 = 3802;
const XML: u32 = 142;
const BYTEA: u32 = 17;
const CHAR: u32 = 18;
const INT8: u32 = 20;
const NUMERIC: u32 = 1700;
const UNTYPED: u32 = 0;
const RECORDS: [u32; 2] = [2249, 2287];

/// Types by OID and limits of work, as Python has them.
pub struct Types {
    pub dynamic: u32,
    pub texts: HashSet<u32>,
    pub rigid: HashSet<u32>,
    pub lexemes: HashSet<u32>,
    pub arrays: HashMap<u32, u32>,
    pub work: usize,
    pub taken_apart: usize,
    pub piece: usize,
    pub long_cell: usize,
    pub long_line: usize,
}

/// What Python does for this module, where its own definition is the only one.
pub struct Calls {
    pub sound_json: Py<PyAny>,
    pub still_json: Py<PyAny>,
    pub partial: Py<PyAny>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Style {
    Redact,
    Partial,
    Hash,
}

enum Whole {
    Star,
    Value(Style),
    Xml(Style),
    Json(Style, bool),
    Null,
    Call(Py<PyAny>),
}

enum Treatment {
    Rule(usize, Whole),
    Text,
    OrNull,
    Xml,
    Json,
    Jsonb,
    Hex,
    Int8,
    Numeric,
    Unread,
    Untyped,
    Array(u32, Box<Treatment>),
}

type Treatments = (Option<Treatment>, Option<Treatment>);

/// What is done to a column's cells, and what to those that would be too much work.
type Covered = (Treatments, Whole);

/// A cell as it is shown.
#[derive(Debug, PartialEq)]
pub enum Shown {
    Same,
    Null,
    New(Vec<u8>),
}

impl Shown {
    fn of(covered: Option<Vec<u8>>) -> Shown {
        covered.map_or(Shown::Same, Shown::New)
    }
}

/// How a column is covered: type, format, and a rule's count, style, and what covers it where the style is not known here.
pub type Column = (u32, u16, Option<(String, String, Option<Py<PyAny>>)>);

pub struct Rows {
    pub scan: Arc<Scan>,
    pub types: Arc<Types>,
    calls: Arc<Calls>,
    key: Vec<u8>,
    columns: Vec<Covered>,
    pub names: Vec<String>,
    detectors: usize,
    card: usize,
    unread: usize,
    pub walks: bool,
    pub scans: bool,
    pub hides: bool,
    pub counts: Vec<u64>,
    before: Vec<u64>,
    work: Work,
    scratch: Scratch,
}

impl Rows {
    pub fn new(scan: Arc<Scan>, types: Arc<Types>, calls: Arc<Calls>, columns: Vec<Column>, key: Vec<u8>) -> Rows {
        let names: Vec<String> = scan.detectors.iter().map(|detector| detector.name.clone()).collect();
        let mut made = Rows {
            detectors: names.len(),
            names,
            scan,
            types,
            calls,
            key,
            columns: Vec::new(),
            card: 0,
            unread: 0,
            walks: false,
            scans: false,
            hides: false,
            counts: Vec::new(),
            before: Vec::new(),
            work: Work(0),
            scratch: Scratch::default(),
        };
        made.card = made.counted("card");
        made.unread = made.counted("unread");
        for (oid, format, rule) in columns {
            let treatments = match rule {
                Some((name, style, call)) => {
                    let whole = made.whole_of(oid, format, &style, call);
                    (Some(Treatment::Rule(made.counted(&name), whole)), None)
                }
                None => made.treatments(oid, format),
            };
            made.walks |= treatments.0.is_some();
            made.scans |= treatments.0.is_some() || treatments.1.is_some();
            made.hides |= made.may_hide(oid, format);
            let unread = made.whole_of(oid, format, "redact", None);
            made.columns.push((treatments, unread));
        }
        made.counts = vec![0; made.names.len()];
        made
    }

    fn counted(&mut self, name: &str) -> usize {
        if let Some(known) = self.names.iter().position(|each| each == name) {
            return known;
        }
        self.names.push(name.to_string());
        self.names.len() - 1
    }

    fn may_hide(&self, oid: u32, format: u16) -> bool {
        let element = *self.types.arrays.get(&oid).unwrap_or(&oid);
        let text = format == 0 && (element >= self.types.dynamic || RECORDS.contains(&element) || element == BYTEA);
        text || element == JSON
    }

    fn whole_of(&self, oid: u32, format: u16, style: &str, call: Option<Py<PyAny>>) -> Whole {
        let binary = format == 1;
        let style = match (style, call) {
            ("redact", _) => Style::Redact,
            ("partial", _) => Style::Partial,
            ("hash", _) => Style::Hash,
            (_, Some(call)) => return Whole::Call(call),
            (_, None) => return Whole::Null,
        };
        if oid == CHAR {
            return Whole::Star;
        }
        if self.types.texts.contains(&oid) || (oid >= self.types.dynamic && !binary) {
            return Whole::Value(style);
        }
        let style = if style == Style::Hash { style } else { Style::Redact };
        match oid {
            XML => Whole::Xml(style),
            JSON | JSONB => Whole::Json(style, binary && oid == JSONB),
            _ => Whole::Null,
        }
    }

    fn treatments(&self, oid: u32, format: u16) -> Treatments {
        if self.detectors == 0 || self.types.rigid.contains(&oid) {
            (None, None)
        } else if format == 1 {
            self.binary(oid)
        } else {
            (None, Some(self.textual(oid)))
        }
    }

    fn textual(&self, oid: u32) -> Treatment {
        let element = *self.types.arrays.get(&oid).unwrap_or(&oid);
        match oid {
            JSON | JSONB => Treatment::Json,
            XML => Treatment::Xml,
            _ if element == BYTEA || oid >= self.types.dynamic || RECORDS.contains(&oid) => Treatment::Hex,
            _ if self.types.texts.contains(&element) || self.types.lexemes.contains(&oid) => Treatment::Text,
            _ => Treatment::OrNull,
        }
    }

    fn binary(&self, oid: u32) -> Treatments {
        let cards = self.card < self.detectors;
        match oid {
            BYTEA => (None, Some(Treatment::Text)),
            _ if self.types.texts.contains(&oid) => (None, Some(Treatment::Text)),
            JSON => (None, Some(Treatment::Json)),
            XML => (None, Some(Treatment::Xml)),
            JSONB => (None, Some(Treatment::Jsonb)),
            INT8 => (cards.then_some(Treatment::Int8), None),
            NUMERIC => (cards.then_some(Treatment::Numeric), None),
            UNTYPED => (Some(Treatment::Untyped), None),
            _ => match self.types.arrays.get(&oid) {
                Some(element) => self.array_of(*element),
                None => (Some(Treatment::Unread), None),
            },
        }
    }

    fn array_of(&self, element: u32) -> Treatments {
        if self.types.rigid.contains(&element) {
            return (None, None);
        }
        let (always, suspected) = self.binary(element);
        let array = |treatment: Treatment| Treatment::Array(element, Box::new(treatment));
        (always.map(array), suspected.map(array))
    }

    /// Between reads a session keeps no large buffer.
    pub fn let_go(&mut self) {
        self.scratch.let_go();
    }

    /// One DataRow's body, covered, into `out`; whether anything changed. `signs` are those that its bytes hold.
    pub fn cover(&mut self, body: &[u8], signs: u32, out: &mut Vec<u8>) -> Result<bool, Halt> {
        self.begin(body)?;
        let mut suspects = 0;
        if self.scans && self.detectors > 0 {
            if self.work.spend(body.len()).is_err() {
                return self.rewritten(body, true, None, out);
            }
            suspects = self.hinted(body, signs)?;
        }
        if suspects != 0 || (self.hides && self.hidden(body)) {
            self.rewritten(body, true, Some(suspects), out)
        } else if self.walks {
            self.rewritten(body, false, Some(0), out)
        } else {
            Ok(false)
        }
    }

    /// The cells of a row too short for its work to have an end, where it is known who is suspected: what is shown in the place
    /// of each that changes goes to `put`.
    pub fn cover_cells<'a>(
        &mut self,
        cells: impl Iterator<Item = Option<&'a [u8]>>,
        suspected: bool,
        suspects: u32,
        mut put: impl FnMut(&'a [u8], Shown),
    ) -> Result<(), Halt> {
        self.work = Work(self.types.work);
        self.before.clone_from(&self.counts);
        let columns = std::mem::take(&mut self.columns);
        let mut found = Ok(());
        for (cell, column) in cells.zip(&columns) {
            let Some(cell) = cell else { continue };
            match self.shown(column, cell, suspected, Some(suspects)) {
                Ok(Shown::Same) => {}
                Ok(shown) => put(cell, shown),
                Err(halt) => {
                    found = Err(halt);
                    break;
                }
            }
        }
        self.settled(columns, found)
    }

    fn begin(&mut self, body: &[u8]) -> Result<(), Halt> {
        self.work = Work(self.types.work);
        let count = (self.columns.len() as u16).to_be_bytes();
        if body.get(..2) == Some(&count[..]) { Ok(()) } else { Err(Halt::Twin) }
    }

    /// The detectors among those with a sign that may find something.
    pub fn hinted(&mut self, data: &[u8], signs: u32) -> Result<u32, Halt> {
        if !self.scans || signs == 0 {
            return Ok(0);
        }
        self.scan.clone().hinted(data, signs, &mut self.scratch)
    }

    pub fn hidden(&self, body: &[u8]) -> bool {
        memchr::memchr_iter(b'\\', body).any(|at| matches!(body.get(at + 1), Some(b'x' | b'/')) || body[at + 1..].starts_with(b"u00"))
    }

    /// Whether cells that stand in a line just as they are need more than to be asked for hints.
    pub fn plain(&self, line: &[u8]) -> bool {
        line.len() <= self.types.long_line && !self.walks && memchr::memchr(b'\\', line).is_none()
    }

    pub fn signs(&mut self, data: &[u8]) -> u32 {
        self.scan.signs.of(data, &mut self.scratch.lower)
    }

    fn rewritten(&mut self, body: &[u8], suspected: bool, suspects: Option<u32>, out: &mut Vec<u8>) -> Result<bool, Halt> {
        self.before.clone_from(&self.counts);
        let columns = std::mem::take(&mut self.columns);
        let found = self.rewrite(&columns, body, suspected, suspects, out);
        self.settled(columns, found)
    }

    fn settled<T>(&mut self, columns: Vec<Covered>, found: Result<T, Halt>) -> Result<T, Halt> {
        self.columns = columns;
        if found.is_err() {
            self.counts.clone_from(&self.before); // the twin counts what it covers
        }
        found
    }

    fn rewrite(
        &mut self,
        columns: &[Covered],
        body: &[u8],
        suspected: bool,
        suspects: Option<u32>,
        out: &mut Vec<u8>,
    ) -> Result<bool, Halt> {
        let (mut at, mut last, mut changed) = (2, 0, false);
        for column in columns {
            let length = i32_at(body, at).ok_or(Halt::Twin)?;
            let start = at;
            at += 4;
            if length == -1 {
                continue;
            }
            let size = usize::try_from(length).map_err(|_| Halt::Twin)?;
            let cell = body.get(at..at + size).ok_or(Halt::Twin)?;
            at += size;
            let shown = self.shown(column, cell, suspected, suspects)?;
            if shown != Shown::Same {
                out.extend_from_slice(&body[last..start]);
                push(out, shown);
                (last, changed) = (at, true);
            }
        }
        if at != body.len() {
            return Err(Halt::Twin);
        }
        if changed {
            out.extend_from_slice(&body[last..]);
        }
        Ok(changed)
    }

    fn shown(&mut self, column: &Covered, cell: &[u8], suspected: bool, suspects: Option<u32>) -> Result<Shown, Halt> {
        let ((always, may), unread) = column;
        let treatment = if suspected { always.as_ref().or(may.as_ref()) } else { always.as_ref() };
        let Some(treatment) = treatment else { return Ok(Shown::Same) };
        match self.treat(treatment, cell, suspects) {
            Err(Halt::Overwork) => {
                self.counts[self.unread] += 1;
                self.whole(unread, cell)
            }
            other => other,
        }
    }

    // Covered whole ------------------------------------------------------------------------------------------------

    fn whole(&mut self, whole: &Whole, cell: &[u8]) -> Result<Shown, Halt> {
        Ok(match whole {
            Whole::Star => Shown::New(b"*".to_vec()),
            Whole::Null => Shown::Null,
            Whole::Value(style) => Shown::New(self.value(*style, cell)?),
            Whole::Xml(style) => Shown::New(self.value(*style, cell)?),
            Whole::Json(style, binary) => {
                let head = if *binary { &b"\x01\""[..] } else { b"\"" };
                Shown::New([head, &self.value(*style, cell)?, b"\""].concat())
            }
            Whole::Call(call) => Python::attach(|py| {
                let found = call.call1(py, (PyBytes::new(py, cell),)).map_err(|_| Halt::Twin)?;
                let shown: Option<Vec<u8>> = found.extract(py).map_err(|_| Halt::Twin)?;
                Ok::<Shown, Halt>(shown.map_or(Shown::Null, Shown::New))
            })?,
        })
    }

    fn value(&self, style: Style, cell: &[u8]) -> Result<Vec<u8>, Halt> {
        match style {
            Style::Redact => Ok(b"****".to_vec()),
            Style::Hash => {
                let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).map_err(|_| Halt::Twin)?;
                mac.update(cell);
                let digest = mac.finalize().into_bytes();
                Ok([&b"h:"[..], hex(&digest[..8]).as_bytes()].concat())
            }
            Style::Partial => self.partial(stripped(cell)),
        }
    }

    fn partial(&self, value: &[u8]) -> Result<Vec<u8>, Halt> {
        let lore = self.scan.lore();
        let digit = value.first().is_some_and(u8::is_ascii_digit); // cards and numbers begin with one
        if digit && lore.style_card.is_match(value)? {
            return Ok(card_covered(value));
        }
        if digit && lore.style_ssn.is_match(value)? {
            return Ok([b"***-**-", &value[value.len() - 4..]].concat());
        }
        if let Some(at) = memchr::memchr(b'@', value) {
            if lore.style_email.is_match(value)? {
                return Ok([&local_part(&value[..at.min(1)])[..], &value[at..]].concat());
            }
        }
        match value.first() {
            Some(first) if first.is_ascii() && value.is_ascii() => {
                let shown = value.len() >= 4 && first.is_ascii_alphanumeric();
                Ok([if shown { &value[..1] } else { b"" }, b"****"].concat())
            }
            None => Ok(b"****".to_vec()),
            Some(_) => called(&self.calls.partial, &[value]), // what is a letter beyond ASCII, Python's tables say
        }
    }

    // By detectors -------------------------------------------------------------------------------------------------

    fn treat(&mut self, treatment: &Treatment, cell: &[u8], suspects: Option<u32>) -> Result<Shown, Halt> {
        match treatment {
            Treatment::Rule(name, whole) => {
                self.counts[*name] += 1;
                self.whole(whole, cell)
            }
            Treatment::Text => self.text(cell, suspects),
            Treatment::OrNull => Ok(self.covered(cell, suspects)?.map_or(Shown::Same, |_| Shown::Null)),
            Treatment::Xml => Ok(self.covered(cell, suspects)?.map_or(Shown::Same, |_| Shown::New(b"****".to_vec()))),
            Treatment::Json => self.json(cell, suspects).map(Shown::of),
            Treatment::Jsonb => self.jsonb(cell, suspects),
            Treatment::Hex => self.hex(cell, suspects).map(Shown::of),
            Treatment::Int8 => Ok(self.int8(cell)),
            Treatment::Numeric => Ok(match whole_number(cell) {
                None => self.unreadable(),
                Some(digits) => self.unless_card(&digits),
            }),
            Treatment::Unread => Ok(self.unreadable()),
            Treatment::Untyped => self.untyped(cell, suspects),
            Treatment::Array(element, inner) => self.array(cell, *element, inner, suspects),
        }
    }

    fn covered(&mut self, cell: &[u8], suspects: Option<u32>) -> Result<Option<Vec<u8>>, Halt> {
        match suspects {
            Some(suspects) if cell.len() <= self.types.long_cell => {
                self.scan.clone().cover(cell, suspects, &mut self.counts, &mut self.work, &mut self.scratch)
            }
            _ => self.read(cell),
        }
    }

    fn read(&mut self, data: &[u8]) -> Result<Option<Vec<u8>>, Halt> {
        if self.detectors > 0 {
            self.work.spend(data.len())?;
        }
        let scan = self.scan.clone();
        let suspects = scan.suspects(data, &mut self.scratch)?;
        scan.cover(data, suspects, &mut self.counts, &mut self.work, &mut self.scratch)
    }

    fn sound(&mut self, covered: Vec<u8>) -> Result<Vec<u8>, Halt> {
        self.work.spend(covered.len() * self.types.taken_apart)?;
        called(&self.calls.sound_json, &[&covered])
    }

    fn text(&mut self, cell: &[u8], suspects: Option<u32>) -> Result<Shown, Halt> {
        let Some(covered) = self.covered(cell, suspects)? else { return Ok(Shown::Same) };
        if !matches!(left_stripped(cell).first(), Some(b'{' | b'[')) {
            return Ok(Shown::New(covered));
        }
        self.work.spend(cell.len() * self.types.taken_apart)?;
        called(&self.calls.still_json, &[cell, &covered]).map(Shown::New)
    }

    fn json(&mut self, cell: &[u8], suspects: Option<u32>) -> Result<Option<Vec<u8>>, Halt> {
        let covered = if memmem::find(cell, b"\\u00").is_some() || memmem::find(cell, b"\\/").is_some() {
            self.work.spend(memchr::memchr_iter(b'\\', cell).count() * self.types.piece)?;
            self.read(&unescaped(cell))?
        } else {
            self.covered(cell, suspects)?
        };
        covered.map(|covered| self.sound(covered)).transpose()
    }

    fn jsonb(&mut self, cell: &[u8], suspects: Option<u32>) -> Result<Shown, Halt> {
        if cell.first() != Some(&1) {
            return Ok(self.unreadable());
        }
        Ok(Shown::of(self.json(&cell[1..], suspects)?.map(|covered| [&b"\x01"[..], &covered].concat())))
    }

    fn hex(&mut self, cell: &[u8], suspects: Option<u32>) -> Result<Option<Vec<u8>>, Halt> {
        let replaced = if memmem::find(cell, b"\\x").is_some() { self.within_hex(cell)? } else { None };
        let covered = self.covered(replaced.as_deref().unwrap_or(cell), suspects)?;
        Ok(covered.or(replaced))
    }

    /// The cell with what its hex strings stand for covered; None if that changes nothing.
    fn within_hex(&mut self, cell: &[u8]) -> Result<Option<Vec<u8>>, Halt> {
        let mut out: Option<Vec<u8>> = None;
        let (mut at, mut last) = (0, 0);
        while let Some(found) = memmem::find(&cell[at..], b"\\x") {
            let start = at + found + 2;
            let digits = cell[start..].iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).count() / 2 * 2;
            at = start + digits;
            if digits < 8 {
                continue;
            }
            self.work.spend(self.types.piece)?;
            if let Some(covered) = self.read(&unhexed(&cell[start..at]))? {
                let out = out.get_or_insert_with(Vec::new);
                out.extend_from_slice(&cell[last..start]);
                out.extend_from_slice(hex(&covered).as_bytes());
                last = at;
            }
        }
        if let Some(out) = &mut out {
            out.extend_from_slice(&cell[last..]);
        }
        Ok(out.filter(|out| out != cell))
    }

    fn int8(&mut self, cell: &[u8]) -> Shown {
        match <[u8; 8]>::try_from(cell) {
            Ok(bytes) => self.unless_card(i64::from_be_bytes(bytes).to_string().as_bytes()),
            Err(_) => self.unreadable(),
        }
    }

    fn unless_card(&mut self, digits: &[u8]) -> Shown {
        let number = (13..=19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        if number && self.scan.lore().is_card(digits) {
            self.counts[self.card] += 1;
            return Shown::Null;
        }
        Shown::Same
    }

    fn unreadable(&mut self) -> Shown {
        self.counts[self.unread] += 1;
        Shown::Null
    }

    fn untyped(&mut self, cell: &[u8], suspects: Option<u32>) -> Result<Shown, Halt> {
        if readable(cell) {
            return match cell.first() {
                Some(b'{' | b'[' | b'"') => self.json(cell, suspects).map(Shown::of),
                _ => self.text(cell, suspects),
            };
        }
        let number = whole_number(cell);
        if cell.len() == 8 || number.is_some() {
            return Ok(match number {
                None => self.int8(cell),
                Some(digits) => self.unless_card(&digits),
            });
        }
        let oid = u32_at(cell, 8).unwrap_or(u32::MAX);
        if self.types.arrays.values().any(|element| *element == oid) && elements(cell, oid).is_some() {
            let (always, suspected) = self.array_of(oid);
            return match always.or(suspected) {
                Some(treatment) => self.treat(&treatment, cell, suspects),
                None => Ok(Shown::Same),
            };
        }
        if cell.first() == Some(&1) && readable(&cell[1..]) {
            return self.jsonb(cell, suspects);
        }
        Ok(if cell.len() < 8 || cell.len() == 16 { Shown::Same } else { self.unreadable() })
    }

    fn array(&mut self, cell: &[u8], element: u32, inner: &Treatment, suspects: Option<u32>) -> Result<Shown, Halt> {
        self.work.spend(cell.len() * self.types.taken_apart)?;
        let Some((end, values)) = elements(cell, element) else { return Ok(self.unreadable()) };
        let mut out = cell[..end].to_vec();
        let (mut changed, mut gaps) = (false, false);
        for value in values {
            let Some(value) = value else {
                gaps = true;
                push(&mut out, Shown::Null);
                continue;
            };
            match self.treat(inner, &cell[value.clone()], suspects)? {
                Shown::Same => push(&mut out, Shown::New(cell[value].to_vec())),
                shown => {
                    changed = true;
                    gaps |= shown == Shown::Null;
                    push(&mut out, shown);
                }
            }
        }
        out[4..8].copy_from_slice(&i32::from(gaps).to_be_bytes());
        Ok(if changed { Shown::New(out) } else { Shown::Same })
    }
}

/// A cell with its length.
fn push(out: &mut Vec<u8>, shown: Shown) {
    match shown {
        Shown::New(value) => {
            out.extend_from_slice(&(value.len() as i32).to_be_bytes());
            out.extend_from_slice(&value);
        }
        _ => out.extend_from_slice(&(-1i32).to_be_bytes()),
    }
}

fn called(call: &Py<PyAny>, values: &[&[u8]]) -> Result<Vec<u8>, Halt> {
    Python::attach(|py| {
        let values = values.iter().map(|value| PyBytes::new(py, value));
        let arguments = pyo3::types::PyTuple::new(py, values).map_err(|_| Halt::Twin)?;
        call.call1(py, arguments).and_then(|found| found.extract(py)).map_err(|_| Halt::Twin)
    })
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn hex(data: &[u8]) -> String {
    data.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)] as char, DIGITS[usize::from(byte & 15)] as char]).collect()
}

fn unhexed(digits: &[u8]) -> Vec<u8> {
    let value = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    digits.chunks(2).map(|pair| value(pair[0]) * 16 + value(pair[1])).collect()
}
