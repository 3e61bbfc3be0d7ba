"""Is a command a transfer: the far half of ``rsync``, or of ``scp`` as it was before SFTP? Which way, and of what?

    rsync --server --sender -logDtpre.iLsfxCIvu . PATH     a download          scp -f PATH
    rsync --server -logDtpre.iLsfxCIvu . PATH              an upload           scp -t PATH

Only commands in the very form in which these clients send them, with options that change what is carried and how, are told so;
with any other word they are commands that may run others. The path is as the client says it: the host's links are not followed,
and names of what lies below it stand in the stream. So nobody knows how far it goes, and why is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PATHS = 64
_TEXT = re.compile(r"[A-Za-z0-9_./=,:@%+ -]{1,8192}")  # nothing that any shell reads as more than letters of words
_LETTERS = re.compile(r"-[vlogDtprznucdHAXSWxOJNUh0-9]*e\.[A-Za-z]*|-[vlogDtprznucdHAXSWxOJNUh]+")
_LONG = re.compile(
    r"--(?:delete(?:-before|-during|-after|-delay|-excluded)?|partial|inplace|append|append-verify|numeric-ids|size-only"
    r"|ignore-times|existing|ignore-existing|update|whole-file|sparse|dirs|no-[a-z-]+|new-compress|old-compress|stats"
    r"|(?:bwlimit|timeout|compress-level|block-size|max-size|min-size|modify-window|max-delete|checksum-seed)=[0-9A-Za-z.+-]+"
    r"|(?:compress-choice|checksum-choice)=[a-z0-9,]+|log-format=[%A-Za-z]*)"
)
_SCP = re.compile(r"-[rpvqd]+")
UNTOLD = "links of the host may lead it elsewhere, and what it holds is named in its stream alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """``paths`` are those of the host; ``~`` is its user's home. ``opaque``: its stream is more than the files' own bytes."""

    program: str
    up: bool
    paths: tuple[str, ...]
    words: tuple[str, ...]
    opaque: bool


def transfer(command: str) -> Transfer | None:
    """What a command carries; None for what is no transfer, or not in the form of one."""
    if not _TEXT.fullmatch(command):
        return None
    words = tuple(command.split(" "))
    if not all(words):
        return None
    match words[0]:
        case "rsync":
            return _rsync(words)
        case "scp":
            return _scp(words)
        case _:
            return None


def _rsync(words: tuple[str, ...]) -> Transfer | None:
    if words[1:2] != ("--server",):
        return None
    down = words[2:3] == ("--sender",)
    rest = words[3:] if down else words[2:]
    if "." not in rest:
        return None
    dot = rest.index(".")
    options, paths = rest[:dot], _paths(rest[dot + 1 :] or (".",))
    if paths is None or not all(_LETTERS.fullmatch(one) or _LONG.fullmatch(one) for one in options):
        return None
    if not down and len(paths) > 1:
        return None
    return Transfer(program="rsync", up=not down, paths=paths, words=words, opaque=True)


def _scp(words: tuple[str, ...]) -> Transfer | None:
    rest = list(words[1:])
    ways = []
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option == "--":
            break
        if option in ("-t", "-f"):
            ways.append(option)
        elif not _SCP.fullmatch(option):
            return None
    paths = _paths(tuple(rest))
    if len(ways) != 1 or not rest or paths is None or (ways == ["-t"] and len(paths) > 1):
        return None
    return Transfer(program="scp", up=ways == ["-t"], paths=paths, words=words, opaque=False)


def _paths(said: tuple[str, ...]) -> tuple[str, ...] | None:
    """Those that lead where they say: a relative one is below the home; None where one may lead elsewhere."""
    if len(said) > PATHS:
        return None
    found = []
    for path in said:
        plain = path.rstrip("/") or "/"
        if path.startswith("-") or any(part in ("", "..") for part in plain.split("/")[1:] if plain != "/"):
            return None
        if plain.startswith("/"):
            if "." in plain.split("/"):
                return None
            found.append(plain)
            continue
        parts = [part for part in plain.split("/") if part != "."]
        if ".." in parts or ":" in plain:
            return None
        found.append("/".join(["~", *parts]))
    return tuple(dict.fromkeys(found))
