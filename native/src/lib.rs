//! Rows of answers, covered by compiled code: the twin of what `gatebook.protocols.postgres.rows` and `copying` do in Python.
//!
//! Python gives the patterns, tables and limits (`Table`), and the columns of one result (`Rows`); `feed` walks the messages of
//! a chunk with the interpreter's lock released. It stops before a message that is not a row, is not whole, or that the twin
//! has to do, so that every fault and every case this crate does not know is the twin's. Beside them: the plain way of a
//! statement (`lane`), JSON (`json`), and the hashes of the ledger's tree (`tree`).

mod binary;
mod checks;
mod copying;
mod json;
mod lane;
mod numbers;
mod rows;
mod scan;
mod shapes;
mod signs;
mod tree;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use checks::{Lore, Pattern};
use copying::Form;
use rows::{Calls, Column, Types};
use scan::{Halt, Scan, Scratch, Spec, Work};

const HEAD: usize = 5; // a message's type and length
const FEW: usize = 16 * 1024; // bytes that are covered without letting go of the interpreter's lock
const KEPT: usize = 1 << 20; // bytes of a buffer that is used again
const STOPS: u32 = 1_000; // rows left to Python before all are: each costs a look at what follows it

/// A choice of detectors with all they need.
#[pyclass(frozen)]
struct Detectors {
    scan: Arc<Scan>,
}

#[pymethods]
impl Detectors {
    #[new]
    fn new(detectors: Vec<Spec>, lore: &Bound<'_, PyDict>) -> PyResult<Detectors> {
        let patterns: HashMap<String, Pattern> = got(lore, "patterns")?;
        let ibans: HashMap<Vec<u8>, usize> = got(lore, "ibans")?;
        let words: HashSet<Vec<u8>> = got(lore, "words")?;
        let lore = Lore::new(got(lore, "lengths")?, ibans, words, got(lore, "random_bits")?, &patterns);
        let scan = lore.and_then(|lore| Scan::new(detectors, lore)).map_err(PyValueError::new_err)?;
        Ok(Detectors { scan: Arc::new(scan) })
    }

    /// Whether any of them may find something in the data or any part of it; yes where the engine met a limit.
    fn suspect(&self, data: &[u8]) -> bool {
        SCRATCH.with_borrow_mut(|scratch| {
            let found = self.scan.suspects(data, scratch).map_or(true, |found| found != 0);
            scratch.let_go();
            found
        })
    }

    /// Whether the data is one whole document of JSON without anything to look at; no where that is not sure. Limits as `Json` has.
    fn passes(&self, py: Python<'_>, data: &Bound<'_, PyBytes>, limits: (usize, usize, usize, usize)) -> bool {
        let bytes = data.as_bytes();
        let (depth, name, number, held) = limits;
        let run = || {
            SCRATCH.with_borrow_mut(|scratch| {
                let found = json::passes(&self.scan, json::Limits { depth, name, number, held }, bytes, &mut scratch.lower);
                scratch.let_go();
                found
            })
        };
        if bytes.len() < FEW { run() } else { py.detach(run) }
    }

    /// The data with a star for each byte of every finding, None where there is none, and where they are: beginning, end,
    /// detector. `work` is what may be spent. Raises OverflowError where that is not enough; ValueError for what is Python's
    /// to do, since the engine met a limit.
    fn blot<'py>(&self, py: Python<'py>, data: &Bound<'py, PyBytes>, work: usize) -> PyResult<Blotted<'py>> {
        let bytes = data.as_bytes();
        let mut spots = Vec::new();
        let mut run = || {
            SCRATCH.with_borrow_mut(|scratch| {
                let shown = self.scan.blot(bytes, &mut spots, &mut Work(work), scratch);
                scratch.let_go();
                shown
            })
        };
        let shown = if bytes.len() < FEW { run() } else { py.detach(run) };
        match shown {
            Ok(shown) => {
                let named = |rank: usize| self.scan.detectors[rank].name.clone();
                let spots = spots.into_iter().map(|(start, end, rank)| (start, end, named(rank))).collect();
                Ok((shown.map(|shown| PyBytes::new(py, &shown)), spots))
            }
            Err(Halt::Overwork) => Err(PyOverflowError::new_err("too much work")),
            Err(Halt::Twin) => Err(PyValueError::new_err("the engine met a limit")),
        }
    }
}

/// What `Detectors.blot` answers.
type Blotted<'py> = (Option<Bound<'py, PyBytes>>, Vec<(usize, usize, String)>);

/// The same, with what rows need, shared by every result that it covers.
#[pyclass(frozen)]
struct Table {
    scan: Arc<Scan>,
    types: Arc<Types>,
    calls: Arc<Calls>,
}

#[pymethods]
impl Table {
    #[new]
    fn new(detectors: &Detectors, types: &Bound<'_, PyDict>, calls: &Bound<'_, PyDict>) -> PyResult<Table> {
        Ok(Table {
            scan: detectors.scan.clone(),
            types: Arc::new(Types {
                dynamic: got(types, "dynamic")?,
                texts: got(types, "texts")?,
                rigid: got(types, "rigid")?,
                lexemes: got(types, "lexemes")?,
                arrays: got(types, "arrays")?,
                work: got(types, "work")?,
                taken_apart: got(types, "taken_apart")?,
                piece: got(types, "piece")?,
                long_cell: got(types, "long_cell")?,
                long_line: got(types, "long_line")?,
            }),
            calls: Arc::new(Calls {
                sound_json: got(calls, "sound_json")?,
                still_json: got(calls, "still_json")?,
                partial: got(calls, "partial")?,
            }),
        })
    }

    /// The detectors whose signs these bytes hold, and those whose hints do; for tests of what the signs promise.
    fn suspects(&self, data: &[u8]) -> PyResult<(Vec<String>, Vec<String>)> {
        let mut scratch = Scratch::default();
        let signs = self.scan.signs.of(data, &mut scratch.lower);
        let hinted = self.scan.hinted(data, u32::MAX >> (32 - self.scan.detectors.len().max(1)), &mut scratch);
        let hinted = hinted.map_err(|_| PyValueError::new_err("a hint met the engine's limit"))?;
        let named = |set: u32| scan::ranks(set).map(|rank| self.scan.detectors[rank].name.clone()).collect();
        Ok((named(signs), named(hinted)))
    }
}

fn got<'py, T>(facts: &Bound<'py, PyDict>, name: &str) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py>,
    for<'a> <T as FromPyObject<'a, 'py>>::Error: Into<PyErr>,
{
    let found = facts.get_item(name)?.ok_or_else(|| PyValueError::new_err(format!("no {name}")))?;
    found.extract().map_err(Into::into)
}

/// The rows of one result or copy. Owned by one answer.
#[pyclass]
struct Rows {
    rows: rows::Rows,
    form: Option<Form>,
    columns: usize,
    stops: u32,
}

/// Buffers that one call after the other uses; each session having its own would cost it as much as its largest read.
#[derive(Default)]
struct Buffers {
    ends: Vec<usize>,
    masks: Vec<u32>,
    lower: Vec<u8>,
    row: Vec<u8>,
    out: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

#[pymethods]
impl Rows {
    /// `form` is that of a copy: format, delimiter, null, quote, escape.
    #[new]
    #[pyo3(signature = (table, columns, key, form=None))]
    fn new(
        table: &Table,
        columns: Vec<Column>,
        key: Vec<u8>,
        form: Option<(String, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>)>,
    ) -> PyResult<Rows> {
        let form = match form {
            None => None,
            Some((format, delimiter, null, quote, escape)) => {
                let made = Form::new(&format, &delimiter, null, &quote, &escape);
                Some(made.ok_or_else(|| PyValueError::new_err(format!("no form {format}")))?)
            }
        };
        Ok(Rows {
            columns: columns.len(),
            rows: rows::Rows::new(table.scan.clone(), table.types.clone(), table.calls.clone(), columns, key),
            form,
            stops: 0,
        })
    }

    /// Cover the rows that stand whole in the data from `at` on, up to the first message that is none, or that Python has to
    /// cover. Returns where that was, the messages (None: as they are), and the size of their bodies; `masked` grows.
    fn feed<'py>(
        &mut self,
        py: Python<'py>,
        data: &Bound<'py, PyBytes>,
        at: usize,
        limit: usize,
        masked: &Bound<'py, PyDict>,
    ) -> PyResult<(usize, Option<Bound<'py, PyBytes>>, usize)> {
        let bytes = data.as_bytes();
        let few = bytes.len() - at.min(bytes.len()) < FEW; // another thread that takes the lock costs more than they do
        let mut buffers = BUFFERS.take();
        let fed = if few {
            self.run(bytes, at, limit, &mut buffers)
        } else {
            py.detach(|| self.run(bytes, at, limit, &mut buffers))
        };
        for (name, count) in self.rows.names.iter().zip(&mut self.rows.counts) {
            if *count > 0 {
                let before: u64 = masked.get_item(name)?.map_or(Ok(0), |known| known.extract())?;
                masked.set_item(name, before + *count)?;
                *count = 0;
            }
        }
        let out = fed.changed.then(|| PyBytes::new(py, &buffers.out));
        if [&buffers.out, &buffers.lower, &buffers.row].iter().all(|one| one.capacity() <= KEPT) {
            BUFFERS.set(buffers);
        }
        self.rows.let_go();
        Ok((fed.end, out, fed.size))
    }
}

struct Fed {
    end: usize,
    changed: bool,
    size: usize,
}

impl Rows {
    fn run(&mut self, data: &[u8], at: usize, limit: usize, buffers: &mut Buffers) -> Fed {
        let kind = if self.form.is_some() { b'd' } else { b'D' };
        let Buffers { ends, masks, lower, row: room, out } = buffers;
        ends.clear();
        out.clear();
        if self.stops > STOPS {
            return Fed { end: at, changed: false, size: 0 };
        }
        let mut end = at;
        while let Some(size) = whole(data, end, kind, limit) {
            end += size;
            ends.push(end);
        }
        if ends.is_empty() {
            return Fed { end: at, changed: false, size: 0 };
        }
        masks.clear();
        masks.resize(ends.len(), 0);
        if self.rows.scans {
            self.rows.scan.mark(&data[..end], at, lower, ends, masks);
        }
        let looks = self.form.is_some() || self.rows.walks || self.rows.hides;
        let (mut start, mut last, mut size, mut changed) = (at, at, 0, false);
        for row in 0..ends.len() {
            let (end, signs) = (ends[row], masks[row]);
            let body = &data[start + HEAD..end];
            let large = body.len() > self.rows.types.work; // may be too much to be looked at
            room.clear();
            let covered = if looks || large || signs != 0 {
                match &self.form {
                    None => self.rows.cover(body, signs, room),
                    Some(form) => form.cover(&mut self.rows, self.columns, body, signs, room),
                }
            } else {
                counted(body, self.columns)
            };
            match covered {
                Err(Halt::Overwork | Halt::Twin) => {
                    self.stops += 1;
                    break;
                }
                Ok(false) => size += body.len(),
                Ok(true) => {
                    changed = true;
                    out.extend_from_slice(&data[last..start]);
                    out.push(kind);
                    out.extend_from_slice(&(room.len() as u32 + 4).to_be_bytes());
                    out.extend_from_slice(room);
                    size += room.len();
                    last = end;
                }
            }
            start = end;
        }
        if changed {
            out.extend_from_slice(&data[last..start]);
        }
        Fed { end: start, changed, size }
    }
}

/// The size of the message of this kind that begins there, if it is whole.
fn whole(data: &[u8], at: usize, kind: u8, limit: usize) -> Option<usize> {
    if *data.get(at)? != kind {
        return None;
    }
    let length = binary::u32_at(data, at + 1)? as usize;
    ((4..=limit).contains(&length) && data.len() - at > length).then_some(length + 1)
}

/// A row in which nothing is to be covered needs the right number of columns, no more.
fn counted(body: &[u8], columns: usize) -> Result<bool, Halt> {
    match binary::u16_at(body, 0) {
        Some(count) if usize::from(count) == columns => Ok(false),
        _ => Err(Halt::Twin),
    }
}

/// JSON of one content, walked as it comes. Owned by one answer.
#[pyclass]
struct Json {
    scan: Arc<Scan>,
    walk: json::Walk,
}

#[pymethods]
impl Json {
    /// `limits` are of levels, names, numbers and held strings; `rules` those on fields, if there are any: the functions member,
    /// item, ruled and, where names have stars, paired; the names that they know, and those that may stand for others.
    #[new]
    fn new(
        detectors: &Detectors,
        limits: (usize, usize, usize, usize),
        rules: Option<((Py<PyAny>, Py<PyAny>, Py<PyAny>, Option<Py<PyAny>>), HashSet<Vec<u8>>, HashSet<Vec<u8>>)>,
        top: u32,
        name: Vec<u8>,
    ) -> Json {
        let (depth, longest, number, held) = limits;
        let places = rules.map(|(asked, names, aliased)| json::Places::new(asked, names, aliased));
        let walk = json::Walk::new(json::Limits { depth, name: longest, number, held }, places, top, &name);
        Json { scan: detectors.scan.clone(), walk }
    }

    #[getter]
    fn between(&self) -> bool {
        self.walk.between()
    }

    fn waits(&mut self, data: &[u8]) -> bool {
        self.walk.waits(data)
    }

    /// How far the data is whole, and the tokens in it that somebody must look at; ValueError for what is no JSON.
    /// What was covered here stands in its place; `masked` grows.
    fn feed<'a>(
        &mut self,
        py: Python<'_>,
        data: &'a [u8],
        every: bool,
        masked: &Bound<'_, PyDict>,
    ) -> PyResult<(usize, Vec<json::Hit<'a>>)> {
        let mut counts = vec![0u64; self.scan.detectors.len()];
        let fed = self.walk.feed(py, &self.scan, data, every, &mut counts)?;
        for (detector, count) in self.scan.detectors.iter().zip(counts).filter(|(_, count)| *count > 0) {
            let before: u64 = masked.get_item(&detector.name)?.map_or(Ok(0), |known| known.extract())?;
            masked.set_item(&detector.name, before + count)?;
        }
        Ok(fed)
    }
}

/// Whether the operator wants this module: `GATEBOOK_NATIVE=0` in the environment says no.
#[pyfunction]
fn wanted() -> bool {
    std::env::var_os("GATEBOOK_NATIVE").is_none_or(|value| value != "0")
}

/// What `bytes.find` does, vectorized.
#[pyfunction]
fn find(data: &[u8], wanted: &[u8], start: usize, stop: usize) -> Option<usize> {
    let stop = stop.min(data.len());
    memchr::memmem::find(data.get(start..stop)?, wanted).map(|place| start + place)
}

#[pymodule]
fn gatebook_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(wanted, module)?)?;
    module.add_function(wrap_pyfunction!(find, module)?)?;
    module.add_function(wrap_pyfunction!(tree::leaves, module)?)?;
    module.add_function(wrap_pyfunction!(tree::perfect_root, module)?)?;
    module.add_class::<Table>()?;
    module.add_class::<Rows>()?;
    module.add_class::<Detectors>()?;
    module.add_class::<Json>()?;
    module.add_class::<lane::Lane>()
}
