//! Rows of COPY TO STDOUT, each in a message of its own, as the server's writer sends them; `gatebook.protocols.postgres.copying`
//! has what is said of them. Whatever is cut otherwise, or malformed, is the twin's.

use std::borrow::Cow;

use crate::rows::{Rows, Shown};
use crate::scan::Halt;

const SHORT: usize = 1024; // bytes of a row that cannot use up its work, whoever is suspected

/// Format and marks of a copy.
pub enum Form {
    Text { delimiter: u8, null: Vec<u8> },
    Csv { delimiter: u8, null: Vec<u8>, quote: u8, escape: u8 },
    Binary,
}

impl Form {
    pub fn new(format: &str, delimiter: &[u8], null: Vec<u8>, quote: &[u8], escape: &[u8]) -> Option<Form> {
        let one = |mark: &[u8]| <[u8; 1]>::try_from(mark).ok().map(|[byte]| byte);
        Some(match format {
            "text" => Form::Text { delimiter: one(delimiter)?, null },
            "csv" => Form::Csv { delimiter: one(delimiter)?, null, quote: one(quote)?, escape: one(escape)? },
            "binary" => Form::Binary,
            _ => return None,
        })
    }

    /// The body of a CopyData message of one row, covered, into `out`; whether anything changed. `signs` are those that its bytes
    /// hold.
    pub fn cover(&self, rows: &mut Rows, columns: usize, body: &[u8], signs: u32, out: &mut Vec<u8>) -> Result<bool, Halt> {
        if matches!(self, Form::Binary) {
            return if one_row(body, columns) { rows.cover(body, signs, out) } else { Err(Halt::Twin) };
        }
        if body.is_empty() || columns == 0 {
            return Err(Halt::Twin);
        }
        if self.line(body) != Some(body.len()) {
            return Err(Halt::Twin);
        }
        self.cover_line(rows, columns, body, signs, out)
    }

    fn delimiter(&self) -> u8 {
        match self {
            Form::Text { delimiter, .. } | Form::Csv { delimiter, .. } => *delimiter,
            Form::Binary => 0,
        }
    }

    /// Behind the line feed that ends the first row.
    fn line(&self, data: &[u8]) -> Option<usize> {
        let Form::Csv { quote, escape, .. } = self else {
            return memchr::memchr(b'\n', data).map(|at| at + 1);
        };
        let (mut at, mut quoted) = (0, false);
        loop {
            if !quoted {
                at += memchr::memchr2(b'\n', *quote, &data[at..])? + 1;
                if data[at - 1] == b'\n' {
                    return Some(at);
                }
                quoted = true;
            } else {
                at += memchr::memchr2(*quote, *escape, &data[at..])? + 1;
                if quote != escape && data[at - 1] == *escape {
                    at += 1;
                    if at > data.len() {
                        return None;
                    }
                } else {
                    quoted = false;
                }
            }
        }
    }

    fn cover_line(&self, rows: &mut Rows, columns: usize, line: &[u8], signs: u32, out: &mut Vec<u8>) -> Result<bool, Halt> {
        let bare = match self {
            Form::Csv { quote, .. } => memchr::memchr2(*quote, b'\r', line).is_none(),
            _ => memchr::memchr2(b'\\', b'\r', line).is_none(),
        };
        if bare && line.len() <= rows.types.long_line {
            let suspects = rows.hinted(line, signs)?;
            let plain = suspects == 0 && rows.plain(line);
            if plain || line.len() + 4 * columns + 2 <= SHORT {
                if memchr::memchr_iter(self.delimiter(), line).count() + 1 != columns {
                    return Err(Halt::Twin);
                }
                return if plain { Ok(false) } else { self.cover_bare(rows, line, suspects, out) };
            }
        }
        let cells = self.apart(line, columns)?;
        if cells.len() != columns {
            return Err(Halt::Twin);
        }
        let body = packed(&cells);
        let signs = rows.signs(&body);
        let mut covered = Vec::new();
        if !rows.cover(&body, signs, &mut covered)? {
            return Ok(false);
        }
        self.written(&cells, &covered, out)?;
        Ok(true)
    }

    /// A line whose cells stand in it just as they are: what may be found in one of them is suspected of the line.
    fn cover_bare(&self, rows: &mut Rows, line: &[u8], suspects: u32, out: &mut Vec<u8>) -> Result<bool, Halt> {
        let suspected = suspects != 0 || (rows.hides && rows.hidden(line));
        if !suspected && !rows.walks {
            return Ok(false);
        }
        let delimiter = self.delimiter();
        let null = match self {
            Form::Csv { null, .. } => Some(&null[..]),
            _ => None, // the text format's only one has a backslash
        };
        let cells = line[..line.len() - 1].split(|byte| *byte == delimiter).map(|cell| (Some(cell) != null).then_some(cell));
        let (mut last, mut changed) = (0, false);
        rows.cover_cells(cells, suspected, suspects, |cell, shown| {
            let value = match &shown {
                Shown::New(value) if value == cell => return,
                Shown::New(value) => Some(&value[..]),
                _ => None,
            };
            let start = cell.as_ptr() as usize - line.as_ptr() as usize;
            out.extend_from_slice(&line[last..start]);
            self.write(out, value, cell);
            (last, changed) = (start + cell.len(), true);
        })?;
        if changed {
            out.extend_from_slice(&line[last..]);
        }
        Ok(changed)
    }

    /// The cells as they are written, and what they mean.
    fn apart<'a>(&self, line: &'a [u8], columns: usize) -> Result<Vec<Cell<'a>>, Halt> {
        let mut cells = Vec::with_capacity(columns);
        let mut at = 0;
        while at < line.len() {
            let end = self.cell(&line[at..]).ok_or(Halt::Twin)?;
            let raw = &line[at..at + end];
            let value = self.value(raw);
            cells.push(Cell { raw, value });
            at += end + 1;
        }
        Ok(cells)
    }

    /// How long the first cell of these is, if a delimiter or the line's end stands behind it.
    fn cell(&self, data: &[u8]) -> Option<usize> {
        let mut at = 0;
        match self {
            Form::Text { delimiter, .. } => loop {
                // Before a carriage return that is none of the row's own, the line feed behind it is met, or a delimiter.
                at += memchr::memchr3(b'\\', *delimiter, b'\n', data.get(at..)?)?;
                if data[at] != b'\\' {
                    return memchr::memchr(b'\r', &data[..at]).is_none().then_some(at);
                }
                if matches!(data.get(at + 1), None | Some(b'\r' | b'\n')) {
                    return None;
                }
                at += 2;
            },
            Form::Csv { delimiter, quote, escape, .. } => {
                let ends = |at: usize| data.get(at).is_some_and(|byte| byte == delimiter || *byte == b'\n');
                if data.first() == Some(quote) {
                    at = 1;
                    loop {
                        let byte = *data.get(at)?;
                        let next = data.get(at + 1);
                        if byte == *escape && next.is_some_and(|next| next == quote || next == escape) {
                            at += 2;
                        } else if byte == *quote {
                            return ends(at + 1).then_some(at + 1);
                        } else if byte == *escape {
                            return None;
                        } else {
                            at += 1;
                        }
                    }
                }
                while !ends(at) {
                    let byte = *data.get(at)?;
                    if byte == b'\r' || byte == *quote {
                        return None;
                    }
                    at += 1;
                }
                Some(at)
            }
            Form::Binary => None,
        }
    }

    fn value<'a>(&self, raw: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match self {
            Form::Text { null, .. } => {
                if raw == null && raw == b"\\N" {
                    return None;
                }
                Some(unescaped(raw, b'\\', true))
            }
            Form::Csv { null, quote, escape, .. } => {
                if raw.first() == Some(quote) {
                    return Some(unescaped(&raw[1..raw.len() - 1], *escape, false));
                }
                (raw != null).then_some(Cow::Borrowed(raw))
            }
            Form::Binary => None,
        }
    }

    /// The line as the server would write it with the covered cells in the place of those that differ.
    fn written(&self, cells: &[Cell], covered: &[u8], out: &mut Vec<u8>) -> Result<(), Halt> {
        let mut at = 2;
        for cell in cells {
            if at > 2 {
                out.push(self.delimiter());
            }
            let length = crate::binary::i32_at(covered, at).ok_or(Halt::Twin)?;
            at += 4;
            let shown = match usize::try_from(length) {
                Ok(size) => Some(covered.get(at..at + size).ok_or(Halt::Twin)?),
                Err(_) => None,
            };
            at += shown.map_or(0, <[u8]>::len);
            if shown == cell.value.as_deref() {
                out.extend_from_slice(cell.raw);
            } else {
                self.write(out, shown, cell.raw);
            }
        }
        out.push(b'\n');
        Ok(())
    }

    fn write(&self, out: &mut Vec<u8>, value: Option<&[u8]>, old: &[u8]) {
        match (self, value) {
            (Form::Text { null, .. } | Form::Csv { null, .. }, None) => out.extend_from_slice(null),
            (Form::Text { delimiter, .. }, Some(value)) => {
                for byte in value {
                    match byte {
                        b'\\' => out.extend_from_slice(b"\\\\"),
                        0x08 => out.extend_from_slice(b"\\b"),
                        0x0c => out.extend_from_slice(b"\\f"),
                        b'\n' => out.extend_from_slice(b"\\n"),
                        b'\r' => out.extend_from_slice(b"\\r"),
                        b'\t' => out.extend_from_slice(b"\\t"),
                        0x0b => out.extend_from_slice(b"\\v"),
                        byte if byte == delimiter => out.extend_from_slice(&[b'\\', *byte]),
                        byte => out.push(*byte),
                    }
                }
            }
            (Form::Csv { delimiter, null, quote, escape }, Some(value)) => {
                let special = |byte: &u8| matches!(byte, b'\r' | b'\n') || byte == delimiter || byte == quote;
                let quotes = value == null || value == b"\\." || old.first() == Some(quote) || value.iter().any(special);
                if !quotes {
                    return out.extend_from_slice(value);
                }
                out.push(*quote);
                for byte in value {
                    if byte == quote || byte == escape {
                        out.push(*escape);
                    }
                    out.push(*byte);
                }
                out.push(*quote);
            }
            (Form::Binary, _) => {}
        }
    }
}

struct Cell<'a> {
    raw: &'a [u8],
    value: Option<Cow<'a, [u8]>>,
}

/// What escapes stand for; letters for control characters only in the text format.
fn unescaped(raw: &[u8], escape: u8, letters: bool) -> Cow<'_, [u8]> {
    if memchr::memchr(escape, raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut plain = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(found) = memchr::memchr(escape, &raw[at..]) {
        plain.extend_from_slice(&raw[at..at + found]);
        at += found + 2;
        plain.push(match raw.get(at - 1) {
            Some(b'b') if letters => 0x08,
            Some(b'f') if letters => 0x0c,
            Some(b'n') if letters => b'\n',
            Some(b'r') if letters => b'\r',
            Some(b't') if letters => b'\t',
            Some(b'v') if letters => 0x0b,
            Some(byte) => *byte,
            None => {
                plain.push(escape);
                return Cow::Owned(plain);
            }
        });
    }
    plain.extend_from_slice(&raw[at..]);
    Cow::Owned(plain)
}

/// The body of a DataRow.
fn packed(cells: &[Cell]) -> Vec<u8> {
    let size = cells.iter().map(|cell| 4 + cell.value.as_ref().map_or(0, |value| value.len())).sum::<usize>();
    let mut body = Vec::with_capacity(2 + size);
    body.extend_from_slice(&(cells.len() as u16).to_be_bytes());
    for cell in cells {
        match &cell.value {
            None => body.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(value) => {
                body.extend_from_slice(&(value.len() as i32).to_be_bytes());
                body.extend_from_slice(value);
            }
        }
    }
    body
}

/// Whether these are exactly one row of so many columns in the binary format.
fn one_row(body: &[u8], columns: usize) -> bool {
    let mut at = 2;
    if body.get(..2) != Some(&(columns as u16).to_be_bytes()[..]) {
        return false;
    }
    for _ in 0..columns {
        match crate::binary::i32_at(body, at) {
            Some(length) if length >= -1 => at += 4 + length.max(0) as usize,
            _ => return false,
        }
        if at > body.len() {
            return false;
        }
    }
    at == body.len()
}
