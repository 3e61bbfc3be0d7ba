"""The tree against RFC 6962's own recursive definitions, inclusion and consistency included."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebook.ledger.tree import WIDTH, Edge, leaf_hash, tile_name
from gatebook.ledger.verifier import Tree, _tile_name


def split(n: int) -> int:
    return 1 << (n - 1).bit_length() - 1


def root_of(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\x01" + root_of(leaves[:k]) + root_of(leaves[k:])).digest()


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), root_of(leaves[k:])]
    return [*path(m - k, leaves[k:]), root_of(leaves[:k])]


def root_from_path(m: int, n: int, leaf: bytes, proof: list[bytes]) -> bytes:
    if n == 1:
        return leaf
    k = split(n)
    if m < k:
        return sha256(b"\x01" + root_from_path(m, k, leaf, proof[:-1]) + proof[-1]).digest()
    return sha256(b"\x01" + proof[-1] + root_from_path(m - k, n - k, leaf, proof[:-1])).digest()


def subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """RFC 6962 2.1.2."""
    if m == len(leaves):
        return [] if whole else [root_of(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), root_of(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), root_of(leaves[:k])]


def roots_from_consistency(m: int, n: int, old: bytes, proof: list[bytes]) -> tuple[bytes, bytes]:
    """Both roots that a proof leads to (RFC 9162 2.1.4.2)."""
    if m & (m - 1) == 0:
        proof = [old, *proof]
    fn, sn = m - 1, n - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = proof[0]
    for value in proof[1:]:
        if fn & 1 or fn == sn:
            first, second = sha256(b"\x01" + value + first).digest(), sha256(b"\x01" + value + second).digest()
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = sha256(b"\x01" + second + value).digest()
        fn, sn = fn >> 1, sn >> 1
    return first, second


def grow(leaves: list[bytes]) -> tuple[Edge, dict[tuple[int, int], bytes]]:
    tiles: dict[tuple[int, int], bytes] = {}
    edge = Edge(lambda level, number, hashes: tiles.__setitem__((level, number), hashes))
    for leaf in leaves:
        edge.add(leaf)
    return edge, tiles


@given(st.integers(0, 1500))
@settings(max_examples=40, deadline=None)
def test_the_edge_and_the_verifier_give_rfc_6962s_root(size):
    leaves = [leaf_hash(b"%d" % i) for i in range(size)]
    edge, _ = grow(leaves)
    tree = Tree(lambda level, number, hashes: None)
    for leaf in leaves:
        tree.add(leaf)
    assert edge.root() == tree.root() == root_of(leaves)


def test_tiles_hold_the_hashes_of_their_level_and_are_given_once():
    leaves = [leaf_hash(b"%d" % i) for i in range(WIDTH * WIDTH + WIDTH + 3)]
    edge, tiles = grow(leaves)
    assert {number for level, number in tiles if level == 0} == set(range(WIDTH + 1))
    assert tiles[0, 1] == b"".join(leaves[WIDTH : 2 * WIDTH])
    assert tiles[1, 0] == b"".join(root_of(leaves[i : i + WIDTH]) for i in range(0, WIDTH * WIDTH, WIDTH))
    assert list(edge.partials()) == [
        (0, WIDTH + 1, b"".join(leaves[-3:])),
        (1, 1, root_of(leaves[WIDTH * WIDTH : -3])),
        (2, 0, root_of(leaves[: WIDTH * WIDTH])),
    ]


@given(st.data(), st.integers(2, 600))
@settings(max_examples=40, deadline=None)
def test_inclusion_and_consistency_hold_against_the_edges_roots(data, size):
    leaves = [leaf_hash(b"%d" % i) for i in range(size)]
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size - 1))
    new_root, old_root = grow(leaves)[0].root(), grow(leaves[:old])[0].root()
    assert root_from_path(index, size, leaves[index], path(index, leaves)) == new_root
    assert roots_from_consistency(old, size, old_root, subproof(old, leaves, True)) == (old_root, new_root)


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "000"), (999, "999"), (1000, "x001/000"), (1234067, "x001/x234/067"), (1_000_000_000, "x001/x000/x000/000")],
)
def test_tiles_are_named_as_c2sp_says(number, name):
    assert tile_name(number) == name
    assert _tile_name("0", number) == f"tile/0/{name}"
