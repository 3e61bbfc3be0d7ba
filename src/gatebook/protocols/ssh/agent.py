"""What a host asks a client's agent of keys for, as far as that is passed on (draft-ietf-sshm-ssh-agent).

    which keys there are         passed; which they were is told
    a signature                  passed, where what is signed is a login over SSH or a signature of SSH's own kind (``SSHSIG``);
                                 by which key, and for what, is told
    session-bind@openssh.com     passed: by it an agent knows for which host it signs
    anything else                answered FAILURE here: a host adds no keys, takes none away and locks nothing

An agent answers in order, so what is answered here waits for what it was asked before. Keys are told by their fingerprints;
neither what is signed nor a signature is kept.
"""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from hashlib import sha256

from gatebook.errors import WireError
from gatebook.masking.detectors import cover_text
from gatebook.protocols.ssh.forwarding import visible
from gatebook.protocols.ssh.sftp_packets import Fields, Reader, packet

FAILURE, LIST, LISTED, SIGN, SIGNED, EXTENSION = 5, 11, 12, 13, 14, 27
BIND = b"session-bind@openssh.com"
UNDER_WAY = 64  # questions without an answer
SIGNATURES = 1_000  # of one session
TOLD = 2_000  # sentences of one session
KEYS = 64  # that one sentence names
NAME_CHARACTERS = 120
_REFUSED = packet(FAILURE)
_USERAUTH_REQUEST = 50
_METHODS = (b"publickey", b"publickey-hostbound-v00@openssh.com")


class _Kind(Enum):
    LIST = auto()
    SIGN = auto()
    BIND = auto()
    REFUSED = auto()


@dataclass(slots=True)
class Tally:
    """What an agent was asked for in one session."""

    signed: int = 0
    asked: int = 0
    refused: int = 0
    told: int = 0


@dataclass(slots=True)
class Passed:
    """What goes on either way, and what is told of it."""

    to_agent: bytes = b""
    to_host: bytes = b""
    told: list[str] = field(default_factory=list)


class Talk:
    """One connection of the host's to the agent."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._host, self._agent = Reader("an agent"), Reader("an agent")
        self._waiting: deque[tuple[_Kind, str]] = deque()

    def asked(self, data: bytes) -> Passed:
        """The host says this. Raises WireError."""
        passed = Passed()
        for body in self._host.feed(data):
            kind, words = self._read(body)
            if len(self._waiting) >= UNDER_WAY:
                raise WireError(f"more than {UNDER_WAY} questions to an agent that are not answered")
            self._waiting.append((kind, words))
            if kind is not _Kind.REFUSED:
                passed.to_agent += packet(body[0], body[1:])
        self._answer_refused(passed)
        return passed

    def answered(self, data: bytes) -> Passed:
        """The agent says this. Raises WireError."""
        passed = Passed()
        for body in self._agent.feed(data):
            if not self._waiting:
                raise WireError("an agent that answers what it was not asked")
            kind, words = self._waiting.popleft()
            passed.to_host += packet(body[0], body[1:])
            if kind is _Kind.SIGN:
                self._tally.signed += body[0] == SIGNED
                self._tell(passed, words if body[0] == SIGNED else f"{words}: the agent does not sign")
            elif kind is _Kind.LIST:
                self._tell(passed, _listed(body))
            self._answer_refused(passed)
        return passed

    def _answer_refused(self, passed: Passed) -> None:
        while self._waiting and self._waiting[0][0] is _Kind.REFUSED:
            _, words = self._waiting.popleft()
            self._tally.refused += 1
            passed.to_host += _REFUSED
            self._tell(passed, words)

    def _tell(self, passed: Passed, words: str) -> None:
        self._tally.told += 1
        if self._tally.told <= TOLD:
            passed.told.append(words)

    def _read(self, body: bytes) -> tuple[_Kind, str]:
        fields = Fields(body)
        code = fields.byte()
        if code == LIST:
            return (_Kind.LIST, "") if len(body) == 1 else (_Kind.REFUSED, "refused: a question for keys that is none")
        if code == EXTENSION and fields.string() == BIND:
            return _Kind.BIND, ""
        if code != SIGN:
            return _Kind.REFUSED, f"refused: message {code} to the agent"
        key, data = fields.string(), fields.string()
        meaning = _meaning(key, data)
        if meaning is None:
            return _Kind.REFUSED, f"refused: a signature by {fingerprint(key)} for what is no login"
        self._tally.asked += 1
        if self._tally.asked > SIGNATURES:
            return _Kind.REFUSED, f"refused: more than {SIGNATURES} signatures"
        return _Kind.SIGN, f"signed by {fingerprint(key)}: {meaning}"


def fingerprint(key: bytes) -> str:
    """As OpenSSH shows it."""
    return "SHA256:" + b64encode(sha256(key).digest()).decode("ascii").rstrip("=")


def _listed(body: bytes) -> str:
    """Which keys an agent says it has. Raises WireError."""
    fields = Fields(body)
    if fields.byte() != LISTED:
        return "keys: the agent names none"
    count, keys = fields.u32(), []
    for _ in range(min(count, KEYS)):
        keys.append(fingerprint(fields.string()))
        fields.string()  # a comment, which may say anything
    more = f" and {count - KEYS} more" if count > KEYS else ""
    return f"keys: {', '.join(keys) or 'none'}{more}"


def _meaning(key: bytes, data: bytes) -> str | None:
    """What a signature over this would be for, None for what is none of the two."""
    try:
        if data.startswith(b"SSHSIG"):
            return f"a signature for {_shown(Fields(data[6:]).string())}"
        fields = Fields(data)
        session = fields.string()
        if not 16 <= len(session) <= 64 or fields.byte() != _USERAUTH_REQUEST:
            return None
        user, service, method, signed = fields.string(), fields.string(), fields.string(), fields.byte()
        fields.string()  # the algorithm
        if service != b"ssh-connection" or method not in _METHODS or signed != 1 or fields.string() != key:
            return None
        where = f" at the host with {fingerprint(fields.string())}" if method == _METHODS[1] else ""
        return f"a login as {_shown(user)}{where}" if not fields.rest() else None
    except WireError:
        return None


def _shown(name: bytes) -> str:
    return visible(cover_text(name.decode("utf-8", "backslashreplace")[:NAME_CHARACTERS]))
