"""The tree against RFC 6962's own recursive definitions, inclusion and consistency included."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebook.ledger.tree import HASH_BYTES, WIDTH, Edge, leaf_hash, leaves, perfect_root, tile_name
from gatebook.ledger.verifier import Tree, _tile_name
from gatebook.masking import compiled


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


def grow(hashes: list[bytes]) -> tuple[Edge, dict[tuple[int, int], bytes]]:
    tiles: dict[tuple[int, int], bytes] = {}
    edge = Edge(lambda level, number, hashes: tiles.__setitem__((level, number), hashes))
    for leaf in hashes:
        edge.add(leaf)
    return edge, tiles


@given(st.integers(0, 1500))
@settings(max_examples=40, deadline=None)
def test_the_edge_and_the_verifier_give_rfc_6962s_root(size):
    found = [leaf_hash(b"%d" % i) for i in range(size)]
    edge, _ = grow(found)
    tree = Tree(lambda level, number, hashes: None)
    for leaf in found:
        tree.add(leaf)
    assert edge.root() == tree.root() == root_of(found)


@given(st.lists(st.integers(1, WIDTH), max_size=12))
@settings(max_examples=40, deadline=None)
def test_leaves_that_come_together_grow_the_same_tree_as_one_by_one(together):
    found: dict[tuple[int, int], bytes] = {}
    edge = Edge(lambda level, number, hashes: found.__setitem__((level, number), hashes))
    entries = [b"%d" % i for i in range(sum(together))]
    at = 0
    for count in together:
        while count:  # as its caller does: no more than fill the tile
            some = entries[at : at + min(count, WIDTH - at % WIDTH)]
            edge.add(leaves(some))
            at, count = at + len(some), count - len(some)
    alone, tiles = grow([leaf_hash(entry) for entry in entries])
    assert (edge.root(), list(edge.partials()), edge.size) == (alone.root(), list(alone.partials()), alone.size)
    assert found == tiles


def test_more_leaves_than_fill_a_tile_are_an_error():
    edge = Edge(lambda *_: None)
    edge.add(leaves([b"a"]))
    with pytest.raises(AssertionError, match="in a tile of 256"):
        edge.add(leaves([b"b"] * WIDTH))


@given(st.lists(st.binary(max_size=700), max_size=40))
@settings(max_examples=100, deadline=None)
def test_leaves_are_rfc_6962s_whoever_hashes_them(entries):
    assert leaves(entries) == b"".join(sha256(b"\0" + entry).digest() for entry in entries)


@pytest.mark.parametrize("count", [1, 2, 8, 16, 256])
def test_a_perfect_root_is_rfc_6962s_whoever_hashes_it(count):
    row = [leaf_hash(b"%d" % i) for i in range(count)]
    assert perfect_root(b"".join(row)) == perfect_root(bytearray(b"".join(row))) == root_of(row)


@pytest.mark.skipif(not hasattr(compiled.crate, "perfect_root"), reason="the Python twin is not asked for other rows")
@pytest.mark.parametrize("size", [0, 3 * HASH_BYTES, HASH_BYTES + 1])
def test_the_compiled_twin_refuses_what_is_no_power_of_two_of_hashes(size):
    with pytest.raises(ValueError, match="no power of two"):
        perfect_root(bytes(size))


def test_tiles_hold_the_hashes_of_their_level_and_are_given_once():
    hashed = [leaf_hash(b"%d" % i) for i in range(WIDTH * WIDTH + WIDTH + 3)]
    edge, tiles = grow(hashed)
    assert {number for level, number in tiles if level == 0} == set(range(WIDTH + 1))
    assert tiles[0, 1] == b"".join(hashed[WIDTH : 2 * WIDTH])
    assert tiles[1, 0] == b"".join(root_of(hashed[i : i + WIDTH]) for i in range(0, WIDTH * WIDTH, WIDTH))
    assert list(edge.partials()) == [
        (0, WIDTH + 1, b"".join(hashed[-3:])),
        (1, 1, root_of(hashed[WIDTH * WIDTH : -3])),
        (2, 0, root_of(hashed[: WIDTH * WIDTH])),
    ]


@given(st.data(), st.integers(2, 600))
@settings(max_examples=40, deadline=None)
def test_inclusion_and_consistency_hold_against_the_edges_roots(data, size):
    hashed = [leaf_hash(b"%d" % i) for i in range(size)]
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size - 1))
    new_root, old_root = grow(hashed)[0].root(), grow(hashed[:old])[0].root()
    assert root_from_path(index, size, hashed[index], path(index, hashed)) == new_root
    assert roots_from_consistency(old, size, old_root, subproof(old, hashed, True)) == (old_root, new_root)


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "000"), (999, "999"), (1000, "x001/000"), (1234067, "x001/x234/067"), (1_000_000_000, "x001/x000/x000/000")],
)
def test_tiles_are_named_as_c2sp_says(number, name):
    assert tile_name(number) == name
    assert _tile_name("0", number) == f"tile/0/{name}"
