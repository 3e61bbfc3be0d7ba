"""What a host may ask an agent of keys for: lists, logins and signatures of SSH's own kind."""

from __future__ import annotations

import pytest

from gatebook.errors import WireError
from gatebook.protocols.ssh.agent import (
    BIND,
    EXTENSION,
    FAILURE,
    LIST,
    LISTED,
    SIGN,
    SIGNATURES,
    SIGNED,
    TOLD,
    UNDER_WAY,
    Talk,
    Tally,
    fingerprint,
)
from gatebook.protocols.ssh.sftp_packets import LONGEST, packet, string, u32

KEY, OTHER = b"ssh-ed25519 key", b"another"
REFUSED = packet(FAILURE)
LOGIN = (
    string(b"s" * 32) + b"\x32" + string(b"git") + string(b"ssh-connection") + string(b"publickey") + b"\x01"
    + string(b"ssh-ed25519") + string(KEY)
)  # fmt: skip
BOUND = LOGIN.replace(string(b"publickey"), string(b"publickey-hostbound-v00@openssh.com")) + string(b"host key")


def sign(data: bytes, key: bytes = KEY) -> bytes:
    return packet(SIGN, string(key), string(data), u32(0))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (LOGIN, "a login as git"),
        (BOUND, f"a login as git at the host with {fingerprint(b'host key')}"),
        (b"SSHSIG" + string(b"file") + string(b""), "a signature for file"),
    ],
)
def test_a_signature_is_told_with_its_key_and_for_what_it_is(data: bytes, told: str) -> None:
    tally = Tally()
    talk = Talk(tally)
    assert talk.asked(sign(data)).to_agent == sign(data)
    answer = packet(SIGNED, string(b"signature"))
    passed = talk.answered(answer)
    assert (passed.to_host, passed.told, tally.signed) == (answer, [f"signed by {fingerprint(KEY)}: {told}"], 1)


def test_what_an_agent_does_not_sign_is_told_so() -> None:
    tally = Tally()
    talk = Talk(tally)
    talk.asked(sign(LOGIN))
    (told,) = talk.answered(REFUSED).told
    assert told.endswith("the agent does not sign")
    assert tally.signed == 0


@pytest.mark.parametrize(
    "question",
    [
        sign(b"anything else"),
        sign(b""),
        sign(LOGIN, OTHER),
        sign(LOGIN + b"x"),
        sign(LOGIN.replace(b"ssh-connection", b"ssh-userauth!!")),
        sign(LOGIN.replace(b"\x32", b"\x36")),
        sign(b"SSHSIG"),
        packet(17, string(b"ssh-ed25519")),
        packet(18, string(KEY)),
        packet(19),
        packet(20, string(b"card")),
        packet(22, string(b"")),
        packet(23, string(b"")),
        packet(25, string(b"ssh-ed25519")),
        packet(EXTENSION, string(b"query")),
        packet(LIST, b"x"),
        packet(1),
    ],
)
def test_nothing_else_reaches_the_agent(question: bytes) -> None:
    tally = Tally()
    passed = Talk(tally).asked(question)
    assert (passed.to_agent, passed.to_host, tally.refused) == (b"", REFUSED, 1)
    assert passed.told[0].startswith("refused: ")


def test_a_refusal_waits_for_the_answers_before_it() -> None:
    talk = Talk(Tally())
    passed = talk.asked(packet(LIST) + packet(19) + packet(EXTENSION, string(BIND), b"rest"))
    assert (passed.to_agent, passed.to_host) == (packet(LIST) + packet(EXTENSION, string(BIND), b"rest"), b"")
    listed = packet(LISTED, u32(2), string(KEY), string(b"ada@example.com"), string(OTHER), string(b"c"))
    passed = talk.answered(listed)
    assert passed.to_host == listed + REFUSED
    assert passed.told[0] == f"keys: {fingerprint(KEY)}, {fingerprint(OTHER)}"
    assert talk.answered(packet(6)).to_host == packet(6)


def test_messages_come_in_pieces() -> None:
    talk, whole = Talk(Tally()), sign(LOGIN) + packet(LIST)
    assert b"".join(talk.asked(whole[at : at + 1]).to_agent for at in range(len(whole))) == whole


@pytest.mark.parametrize("data", [u32(LONGEST + 1), u32(0), packet(SIGN, u32(9)), packet(LIST) * (UNDER_WAY + 1)])
def test_what_is_no_hosts_word_is_an_error(data: bytes) -> None:
    with pytest.raises(WireError):
        Talk(Tally()).asked(data)


@pytest.mark.parametrize("data", [packet(LISTED, u32(0)), u32(LONGEST + 1)])
def test_an_agent_says_nothing_unasked(data: bytes) -> None:
    with pytest.raises(WireError):
        Talk(Tally()).answered(data)


def test_a_list_that_is_shorter_than_it_says_is_an_error() -> None:
    talk = Talk(Tally())
    talk.asked(packet(LIST))
    with pytest.raises(WireError):
        talk.answered(packet(LISTED, u32(1_000_000)))


def test_signatures_and_sentences_of_a_session_have_a_limit() -> None:
    tally = Tally()
    told = 0
    for _ in range(2):
        talk = Talk(tally)
        for _ in range(TOLD):
            passed = talk.asked(sign(LOGIN))
            told += len(passed.told)
            if passed.to_agent:
                told += len(talk.answered(packet(SIGNED, string(b"x"))).told)
    assert (tally.signed, told) == (SIGNATURES, TOLD)


def test_names_command_no_terminal_and_are_covered() -> None:
    talk = Talk(Tally())
    talk.asked(sign(b"SSHSIG" + string(b"\x1b[2J ada.brown@example.com " + b"x" * 500)))
    (told,) = talk.answered(packet(SIGNED, string(b"x"))).told
    assert "\x1b" not in told
    assert "ada.brown" not in told
    assert len(told) < 300
