"""Append-only Merkle log: entries, checkpoints, stand-alone verifier."""
