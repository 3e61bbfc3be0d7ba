"""Releases of Helm, which it keeps in Secrets: base64 of gzip of JSON, looked into so that helm works with what is covered.

    name, version, info {notes …}, config {…}, manifest "YAML", hooks [{manifest "YAML"}], chart {values, templates, files}

What is shown is a release again. Secrets in its manifests have tokens, as the Secrets themselves have; in ``config`` and the
chart's ``values`` so has what detectors find, or what one of those Secrets holds; texts are covered as logs are. Among the
files of the chart stands one more, sealed: which values stand where, and what is shown there.

What comes back is a release, too: where it has what was shown, the sealed values take its place; tokens in ``config`` and in
Secrets of manifests stand for their values. A cover that is left is refused, since it would be written over the real value, and
so is a value whose place would show it. Nothing is shown, and nothing goes on, that could not be read whole.
"""

from __future__ import annotations

import gzip
import json
import zlib
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from gatebook.masking.detectors import OverworkError
from gatebook.masking.rules import Style
from gatebook.masking.tokens import KEY_BYTES, is_token, unseal
from gatebook.protocols.http.covering.plan import Counts, Plan, Rule, Unpacked, count
from gatebook.protocols.http.covering.resolving import ELSEWHERE, FOREIGN, TOKEN, WRITTEN_BACK, is_cover
from gatebook.protocols.http.covering.text import TextCover
from gatebook.protocols.kubernetes import manifests

RELEASE_BYTES = 8 * 1024 * 1024  # unpacked; Secrets hold 1 MiB packed
LEVELS = 64
SEALED = ".gatebook-sealed"  # the name of the file
_GZIP = b"\x1f\x8b"
_PACKED = b"H4sI"  # the same in base64
_FIELDS = ("name", "info", "chart", "manifest", "version")
_DOMAIN = [b"gatebook helm release"]
CHANGED = "the release was shown otherwise before, so its covered values cannot be put back: read it again"
UNREADABLE = "it is a release of helm that cannot be read whole, so its covered values cannot be put back"

Path: TypeAlias = tuple[str | int, ...]


class _RefusedError(Exception):
    pass


class Change(NamedTuple):
    """A place of a release, what is shown there and what stands there."""

    path: Path
    shown: Any
    meant: Any


class Releases:
    """Keeps nothing of any release."""

    def shown(self, written: bytes, plan: Plan, rule: Rule, counts: Counts) -> bytes | None:
        """A value of base64 as it is shown; None where it is no release, or one that is covered as any other value is."""
        if rule.style is not Style.TOKEN or len(rule.key) != KEY_BYTES:
            return None
        plain = _decoded(written)
        found = _unpacked(plain) if plain is not None else None
        if found is None:
            return None
        try:
            covered = _Covering(plan, rule, counts).release(found)
        except (manifests.ManifestError, OverworkError, RecursionError, UnicodeError):
            return None
        changes = list(_changes(found, covered, ()))
        covered["chart"]["files"] = [
            *(covered["chart"].get("files") or ()),
            {"name": SEALED, "data": _sealed(changes, rule.key)},
        ]
        return b64encode(_packed(covered))

    def meant(self, plain: bytes, plan: Plan, rule: Rule) -> Unpacked | None:
        """What goes to the target for a value that is a release, without its base64; None for any other value."""
        found = _unpacked(plain)
        if found is None:
            return None
        keys = plan.tokens.get(rule.mask_set, ())
        try:
            seals = _taken_out(found)
            restored = _Restoring(plan, rule, keys)
            for seal in seals:
                restored.put_back(found, _opened(seal, keys))
            restored.resolve(found)
            if not seals and not restored.values:
                return Unpacked(plain)
            restored.check(found)
            return Unpacked(_packed(found), tuple(dict.fromkeys(restored.values)))
        except _RefusedError as error:
            return Unpacked(plain, refusal=str(error))
        except (manifests.ManifestError, OverworkError, RecursionError, UnicodeError):
            return Unpacked(plain, refusal=UNREADABLE)


# Packing -----------------------------------------------------------------------------------------------------------------


def _decoded(written: bytes) -> bytes | None:
    try:
        return b64decode(written, validate=True)
    except ValueError:
        return None


def _unpacked(plain: bytes) -> dict[str, Any] | None:
    """The release, if it is one that can be read whole."""
    data = _decoded(plain) if plain.startswith(_PACKED) else None
    if data is None or not data.startswith(_GZIP):
        return None
    reader = zlib.decompressobj(wbits=31)
    try:
        text = reader.decompress(data, RELEASE_BYTES)
        if not reader.eof or reader.unused_data:
            return None
        found = json.loads(text.decode())
    except (zlib.error, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or any(name not in found for name in _FIELDS) or not isinstance(found["chart"], dict):
        return None
    return found if isinstance(found["manifest"], str) and _depth(found) <= LEVELS else None


def _depth(value: Any) -> int:
    levels, these = 0, [value]
    while these and levels <= LEVELS:
        levels += 1
        these = [each for one in these for each in _parts(one)]
    return levels


def _parts(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _packed(release: dict[str, Any]) -> bytes:
    text = json.dumps(release, ensure_ascii=False, separators=(",", ":")).encode()
    return b64encode(gzip.compress(text, mtime=0))


def _sealed(changes: list[Change], key: bytes) -> str:
    text = json.dumps(changes, ensure_ascii=False, separators=(",", ":")).encode()
    sealed = AESSIV(key).encrypt(gzip.compress(text, mtime=0), _DOMAIN)
    return b64encode(urlsafe_b64encode(sealed)).decode()


def _opened(sealed: str, keys: tuple[bytes, ...]) -> list[Change]:
    for key in keys:
        try:
            text = gzip.decompress(AESSIV(key).decrypt(urlsafe_b64decode(b64decode(sealed)), _DOMAIN))
            return [Change(tuple(path), shown, meant) for path, shown, meant in json.loads(text)]
        except (InvalidTag, ValueError):
            continue
    raise _RefusedError(FOREIGN)


def _taken_out(release: dict[str, Any]) -> list[str]:
    """The sealed files, which are none of the chart's; they may have been copied into another release, and more than once."""
    files = release["chart"].get("files")
    if not isinstance(files, list):
        return []
    mine = [one for one in files if isinstance(one, dict) and one.get("name") == SEALED]
    if mine:
        release["chart"]["files"] = [one for one in files if one not in mine] or None  # as Go writes a list of none
    return list(dict.fromkeys(str(one.get("data")) for one in mine))


# What differs --------------------------------------------------------------------------------------------------------------


def _changes(meant: Any, shown: Any, path: Path) -> Iterator[Change]:
    if isinstance(meant, dict) and isinstance(shown, dict) and meant.keys() == shown.keys():
        for key in meant:
            yield from _changes(meant[key], shown[key], (*path, key))
    elif isinstance(meant, list) and isinstance(shown, list) and len(meant) == len(shown):
        for number, pair in enumerate(zip(meant, shown, strict=True)):
            yield from _changes(*pair, (*path, number))
    elif meant != shown or type(meant) is not type(shown):
        yield Change(path, shown, meant)


_NOWHERE = object()


def _at(value: Any, path: Path) -> Any:
    for step in path:
        known = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if not known and not (isinstance(value, dict) and step in value):
            return _NOWHERE
        value = value[step]
    return value


# Covering ------------------------------------------------------------------------------------------------------------------


class _Covering:
    """Of one release."""

    def __init__(self, plan: Plan, rule: Rule, counts: Counts) -> None:
        self._plan, self._counts = plan, counts
        self._plain, self._coded = (
            Rule(rule.style, rule.mask_set, rule.key),
            Rule(rule.style, rule.mask_set, rule.key, base64=True),
        )

    def release(self, found: dict[str, Any]) -> dict[str, Any]:
        """All of it, covered."""
        hooks = found.get("hooks")
        texts = [found["manifest"], *(one["manifest"] for one in hooks or () if _has_manifest(one))]
        self._plan = self._plan.hiding(manifests.held(texts))
        return {key: self._part(key, value) for key, value in found.items()}

    def _part(self, key: str, value: Any) -> Any:
        match key:
            case "manifest":
                return self._manifest(value)
            case "hooks" if isinstance(value, list):
                return [
                    {name: self._manifest(one) if name == "manifest" else self._texts(one) for name, one in hook.items()}
                    if _has_manifest(hook)
                    else self._texts(hook)
                    for hook in value
                ]
            case "config":
                return self._values(value, key)
            case "chart":
                return {name: self._of_chart(name, one) for name, one in value.items()}
            case _:
                return self._texts(value)

    def _of_chart(self, name: str, value: Any) -> Any:
        match name:
            case "values":
                return self._values(value, name)
            case "templates" | "files" if isinstance(value, list):
                return [self._file(one) if isinstance(one, dict) else self._texts(one) for one in value]
            case "schema" if isinstance(value, str):
                return self._coded_text(value)
            case _:
                return self._texts(value)

    def _file(self, file: dict[str, Any]) -> dict[str, Any]:
        return {
            key: self._coded_text(one) if key == "data" and isinstance(one, str) else self._texts(one)
            for key, one in file.items()
        }

    def _manifest(self, text: str) -> str:
        return manifests.covered(text, self._plan, self._plain, self._coded, self._counts)

    def _values(self, value: Any, name: str) -> Any:
        """What people configure: whole values, so that their tokens may come back."""
        match value:
            case dict():
                return {self._name(key): self._values(one, key) for key, one in value.items()}
            case list():
                return [self._values(one, name) for one in value]
            case str() | int() | float() if not isinstance(value, bool) and manifests.suspect(self._plan, name, value):
                count(self._counts, self._plain.style.value)
                return self._plain.cover(value.encode()).decode() if isinstance(value, str) else "****"
            case _:
                return value

    def _texts(self, value: Any) -> Any:
        match value:
            case dict():
                return {self._name(key): self._texts(one) for key, one in value.items()}
            case list():
                return [self._texts(one) for one in value]
            case str():
                return self._text(value.encode()).decode()
            case _:
                return value

    def _name(self, name: str) -> str:
        if self._plan.looked(name.encode(), {}, b"") != name.encode():
            raise manifests.ManifestError("a name that is a secret")
        return name

    def _coded_text(self, written: str) -> str:
        plain = _decoded(written.encode())
        if plain is None:
            raise manifests.ManifestError("a file that is not in base64")
        covered = self._text(plain)
        return written if covered == plain else b64encode(covered).decode()

    def _text(self, text: bytes) -> bytes:
        if not self._plan.suspects(text):
            return text
        cover = TextCover(self._plan)
        covered = cover.feed(text) + cover.finish()
        for name, number in cover.masked.items():
            count(self._counts, name, number)
        return covered


def _has_manifest(hook: Any) -> bool:
    return isinstance(hook, dict) and isinstance(hook.get("manifest"), str)


# Restoring -----------------------------------------------------------------------------------------------------------------


class _Restoring:
    """Of one release. Raises _RefusedError for one that may not go."""

    def __init__(self, plan: Plan, rule: Rule, keys: tuple[bytes, ...]) -> None:
        self.values: list[bytes] = []
        self._plan, self._rule, self._keys = plan, rule, keys
        self._back: list[Change] = []
        self._placed: list[Path] = []

    def put_back(self, release: dict[str, Any], changes: list[Change]) -> None:
        """What stands where it was shown is what it was."""
        for one in changes:
            if _at(release, one.path) == one.shown:
                _at(release, one.path[:-1])[one.path[-1]] = one.meant
                self._back.append(one)

    def resolve(self, release: dict[str, Any]) -> None:
        """Tokens in what is configured and in Secrets of manifests."""
        known = frozenset(one.path for one in self._back)
        for top in (("config",), ("chart", "values")):
            value = _at(release, top)
            if value is not _NOWHERE:
                self._values(value, top, lambda path, new: _put(release, path, new), known)
        hooks = release.get("hooks")
        paths: list[Path] = [("manifest",)]
        paths += [("hooks", number, "manifest") for number, one in enumerate(hooks or ()) if _has_manifest(one)]
        for path in paths:
            if path not in known:
                _put(release, path, manifests.resolved(_at(release, path), self._plain))

    def _values(self, value: Any, path: Path, put: Callable[[Path, Any], None], known: frozenset[Path]) -> None:
        if path in known:
            return
        for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
            self._values(one, (*path, key), put, known)
        if not isinstance(value, str):
            return
        written = value.encode()
        if is_cover(written) or is_token(written):
            put(path, self._plain(written, placed=True).decode())
            self._placed.append(path)
        for each in TOKEN.findall(written) if not is_token(written) else ():
            self._plain(each, placed=False)

    def _plain(self, value: bytes, *, placed: bool) -> bytes:
        """What a covered value stands for; ``placed``: it stands where its like is covered."""
        if not is_token(value):
            raise _RefusedError(WRITTEN_BACK)
        meant = next((found for key in self._keys if (found := unseal(value, key)) is not None), None)
        if meant is None:
            raise _RefusedError(FOREIGN)
        if not placed:
            raise _RefusedError(ELSEWHERE)
        self.values.append(meant)
        return meant

    def check(self, release: dict[str, Any]) -> None:
        """Shown again, it shows nothing that it did not before."""
        rule = Rule(self._rule.style, self._rule.mask_set, next(iter(self._keys), b""))
        shown = _Covering(self._plan, rule, {}).release(release)
        if any(_at(shown, one.path) != one.shown for one in self._back):
            raise _RefusedError(CHANGED)
        if any(_at(shown, path) == _at(release, path) for path in self._placed):
            raise _RefusedError(ELSEWHERE)


def _put(release: dict[str, Any], path: Path, value: Any) -> None:
    _at(release, path[:-1])[path[-1]] = value
