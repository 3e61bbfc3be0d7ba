//! Hashes of the ledger's Merkle tree (RFC 6962), by the hundred and without the interpreter's lock: the twin of what
//! `gatebook.ledger.tree` does in Python.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sha2::{Digest, Sha256};

const HASH: usize = 32;
const FEW: usize = 16; // entries that are hashed before another thread would have taken the lock

/// The hashes of these entries as leaves, one behind the other.
#[pyfunction]
pub fn leaves<'py>(py: Python<'py>, entries: Vec<Bound<'py, PyBytes>>) -> Bound<'py, PyBytes> {
    let all: Vec<&[u8]> = entries.iter().map(|entry| entry.as_bytes()).collect();
    let hashed = if all.len() < FEW { hashes(&all) } else { py.detach(|| hashes(&all)) };
    PyBytes::new(py, &hashed)
}

/// The root over a power of two of hashes, one behind the other.
#[pyfunction]
pub fn perfect_root<'py>(py: Python<'py>, row: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    if row.len() % HASH != 0 || !(row.len() / HASH).is_power_of_two() {
        return Err(PyValueError::new_err(format!("{} bytes are no power of two of hashes", row.len())));
    }
    let found = if row.len() < FEW * HASH { root(row.to_vec()) } else { py.detach(|| root(row.to_vec())) };
    Ok(PyBytes::new(py, &found))
}

fn hashes(entries: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * HASH);
    for entry in entries {
        out.extend_from_slice(&Sha256::new().chain_update([0u8]).chain_update(entry).finalize());
    }
    out
}

/// Level by level in place: what is read lies behind what is written.
fn root(mut row: Vec<u8>) -> Vec<u8> {
    while row.len() > HASH {
        for pair in 0..row.len() / (2 * HASH) {
            let at = pair * 2 * HASH;
            let node = Sha256::new().chain_update([1u8]).chain_update(&row[at..at + 2 * HASH]).finalize();
            row[pair * HASH..(pair + 1) * HASH].copy_from_slice(&node);
        }
        row.truncate(row.len() / 2);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_that_of_its_halves() {
        let row: Vec<u8> = (0..4 * HASH).map(|byte| byte as u8).collect();
        let node = |left: &[u8], right: &[u8]| Sha256::digest([&[1u8], left, right].concat()).to_vec();
        let halves = [node(&row[..32], &row[32..64]), node(&row[64..96], &row[96..])];
        assert_eq!(root(row.clone()), node(&halves[0], &halves[1]));
        assert_eq!(root(row[..HASH].to_vec()), row[..HASH]);
    }
}
