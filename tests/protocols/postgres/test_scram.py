"""SCRAM's client by the RFC's own example, and what is remembered of a login."""

from base64 import b64encode

import pytest
from scramp import ScramMechanism

from gatebook.errors import WireError
from gatebook.protocols.postgres.scram import PLAIN, Exchange, Stretched
from gatebook.protocols.relay import Credential

RFC = Credential("user", "pencil")
RFC_NONCE = "rOprNGfwEbeRWgbNEkqO"
RFC_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
RFC_FINAL = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
RFC_PROOF = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def exchange(stretched, credential=RFC):
    return Exchange(PLAIN, credential, RFC_NONCE, stretched)


def served(password, salt=b"salt-of-the-role", rounds=4096):
    """A server that has this password under this salt, as another implementation makes it."""
    made = ScramMechanism(PLAIN)
    known = made.make_auth_info(password, iteration_count=rounds, salt=salt)
    return made.make_server(lambda _user: known)


def log_in(stretched, password, server):
    one = exchange(stretched, Credential("shop_app", password))
    server.set_client_first(one.first)
    server.set_client_final(one.final(server.get_server_first().encode()).decode())
    one.believe(server.get_server_final().encode())


def test_the_rfcs_own_example_holds_word_for_word():
    for stretched in (Stretched(), warm()):
        one = exchange(stretched)
        assert one.first == "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
        assert one.final(RFC_FIRST) == RFC_FINAL
        one.believe(RFC_PROOF)


def warm():
    stretched = Stretched()
    one = exchange(stretched)
    one.final(RFC_FIRST)
    one.believe(RFC_PROOF)
    assert len(stretched) == 1
    return stretched


def test_a_second_login_stretches_nothing_and_is_believed_by_a_server_of_another_make():
    stretched = Stretched()
    for _ in range(2):
        log_in(stretched, "s3cret-of-the-role", served("s3cret-of-the-role"))
    assert len(stretched) == 1


@pytest.mark.parametrize(
    ("password", "salt", "rounds"),
    [
        ("s3cret-of-the-rolE", b"salt-of-the-role", 4096),
        ("s3cret-of-the-role", b"salt-of-the-rolE", 4096),
        ("s3cret-of-the-role", b"salt-of-the-role", 4097),
        ("rs3cret-of-the-role", b"salt-of-the-", 4096),  # what is joined is joined with its lengths
        ("ſ3cret", b"salt-of-the-role", 4096),  # written otherwise than it is meant (RFC 4013)
        ("p=ss,word", b"salt-of-the-role", 4096),
    ],
)
def test_another_secret_salt_or_number_of_rounds_finds_nothing_and_is_stretched_anew(password, salt, rounds):
    stretched = Stretched()
    log_in(stretched, "s3cret-of-the-role", served("s3cret-of-the-role"))
    log_in(stretched, password, served(password, salt, rounds))
    assert len(stretched) == 2


def test_a_password_that_was_changed_on_one_side_alone_is_not_let_in_by_what_is_remembered():
    stretched = Stretched()
    log_in(stretched, "s3cret-of-the-role", served("s3cret-of-the-role"))
    with pytest.raises(Exception, match=r"keys don't match|invalid-proof"):
        log_in(stretched, "s3cret-of-the-role", served("changed at the server"))
    with pytest.raises(Exception, match=r"keys don't match|invalid-proof"):
        log_in(stretched, "changed in the configuration", served("s3cret-of-the-role"))
    assert len(stretched) == 1


def test_a_server_that_proves_nothing_leaves_nothing_and_pushes_nothing_out():
    stretched = warm()
    for number in range(3):
        one = exchange(stretched)
        one.final(b"r=" + RFC_NONCE.encode() + b"x,s=" + b64encode(b"%d" % number) + b",i=4096")
        with pytest.raises(WireError, match="does not know the role's password"):
            one.believe(RFC_PROOF)
    assert len(stretched) == 1
    assert exchange(stretched).final(RFC_FIRST) == RFC_FINAL


def test_what_is_remembered_has_an_end_and_the_oldest_goes_first():
    stretched = Stretched(most=2)
    for password in ("one", "two", "one", "three"):
        log_in(stretched, password, served(password))
    assert len(stretched) == 2
    log_in(stretched, "one", served("one"))
    assert len(stretched) == 2


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"r=" + RFC_NONCE.encode() + b",s=c2FsdA==,i=4096",  # no part of the server's
        b"r=another-nonce-altogether,s=c2FsdA==,i=4096",
        b"r=" + RFC_NONCE.encode() + b"x,s=,i=4096",
        b"r=" + RFC_NONCE.encode() + b"x,s=not base64,i=4096",
        b"s=c2FsdA==,r=" + RFC_NONCE.encode() + b"x,i=4096",
        b"m=must,r=" + RFC_NONCE.encode() + b"x,s=c2FsdA==,i=4096",
        b"r=" + RFC_NONCE.encode() + b"x,s=c2FsdA==,i=4096,x=more",
        b"r=" + RFC_NONCE.encode() + b"\xff,s=c2FsdA==,i=4096",
    ],
)
def test_a_first_message_that_is_not_the_servers_gets_no_proof(first):
    with pytest.raises(WireError, match="SCRAM answer is wrong"):
        exchange(Stretched()).final(first)


@pytest.mark.parametrize("final", [b"", b"v=", b"e=invalid-proof", b"v=AAAA", RFC_PROOF[2:], RFC_PROOF + b"x"])
def test_a_proof_that_is_none_is_not_believed_and_nothing_is_remembered(final):
    stretched = Stretched()
    one = exchange(stretched)
    one.final(RFC_FIRST)
    with pytest.raises(WireError, match="SCRAM answer is wrong"):
        one.believe(final)
    assert len(stretched) == 0


def test_a_proof_before_the_question_is_not_believed():
    with pytest.raises(WireError, match="SCRAM answer is wrong"):
        exchange(Stretched()).believe(b"v=")


def test_no_repr_shows_what_a_password_comes_to():
    stretched = warm()
    keys = next(iter(stretched._kept.values()))
    shown = repr(stretched) + repr(keys) + repr(exchange(stretched))
    assert "pencil" not in shown
    assert repr(keys.client)[2:-1] not in shown


def test_a_password_that_cannot_be_prepared_is_refused_without_its_text():
    with pytest.raises(WireError, match="cannot be used for SCRAM") as caught:
        exchange(Stretched(), Credential("u", "pass\x00word\u0627a"))
    assert "word" not in str(caught.value).replace("password", "")
