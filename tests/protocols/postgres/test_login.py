"""The gateway's login, against servers that ask for what they should and for what they should not."""

import hashlib
import struct
from dataclasses import replace

import pytest
from scramp import ScramMechanism

from gatebook.errors import WireError
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.login import Login
from gatebook.protocols.relay import Credential

SCRAM = Credential("shop_app", "s3cret-of-the-role", "shop")
NONCE = "gatebook-nobody-can-guess"
CERTIFICATE = b"digest of the server's certificate"


def ask(code, data=b""):
    return struct.pack("!I", code) + data


def login(credential=SCRAM):
    return Login(credential, {}, NONCE)


def answer(message):
    frames = wire.Frames(10_000)
    frames.add(message)
    found = frames.message()
    assert found is not None
    assert found[0] == b"p"
    return found[1]


class Server:
    """The server's side of SCRAM, for this password."""

    def __init__(self, password=SCRAM.secret, mechanism="SCRAM-SHA-256", binding=None):
        made = ScramMechanism(mechanism)
        known = made.make_auth_info(password)
        bound = ("tls-server-end-point", binding) if binding else None
        self.scram = made.make_server(lambda _user: known, channel_binding=bound)

    def first(self, body):
        mechanism, data = wire.sasl_initial_response(body)
        self.mechanism = mechanism
        self.scram.set_client_first(data.decode())
        return ask(11, self.scram.get_server_first().encode())

    def final(self, body):
        self.scram.set_client_final(body.decode())
        return ask(12, self.scram.get_server_final().encode())


def logged_in(one, server, offered=b"SCRAM-SHA-256\0\0"):
    first = one.feed(b"R", ask(10, offered))
    final = one.feed(b"R", server.first(answer(first)))
    one.feed(b"R", server.final(answer(final)))
    one.feed(b"R", ask(0))
    one.feed(b"K", b"srvrkey!")
    one.feed(b"Z", b"I")
    return one


def test_a_server_that_knows_the_password_is_logged_in_to():
    assert logged_in(login(), Server()).ready


def test_inside_tls_the_login_is_bound_to_the_servers_certificate_where_it_offers_that():
    server = Server(mechanism="SCRAM-SHA-256-PLUS", binding=CERTIFICATE)
    one = login(replace(SCRAM, binding=CERTIFICATE))
    assert logged_in(one, server, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0").ready
    assert server.mechanism == "SCRAM-SHA-256-PLUS"


def test_a_server_with_another_certificate_than_the_one_seen_gets_no_login():
    """Somebody between them has a TLS connection of his own to either side."""
    server = Server(mechanism="SCRAM-SHA-256-PLUS", binding=b"digest of another certificate")
    one = login(replace(SCRAM, binding=CERTIFICATE))
    first = one.feed(b"R", ask(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"))
    final = one.feed(b"R", server.first(answer(first)))
    with pytest.raises(Exception, match="channel binding"):
        server.final(answer(final))


def test_a_server_hears_when_somebody_took_its_offer_to_bind_away():
    server = Server(mechanism="SCRAM-SHA-256")
    one = login(replace(SCRAM, binding=CERTIFICATE))
    body = answer(one.feed(b"R", ask(10, b"SCRAM-SHA-256\0\0")))
    mechanism, data = wire.sasl_initial_response(body)
    assert (mechanism, data[:3]) == ("SCRAM-SHA-256", b"y,,")  # "I would have": a server that offered it ends here
    assert server is not None


@pytest.mark.parametrize(
    ("binding", "offered", "why"),
    [
        (CERTIFICATE, b"SCRAM-SHA-256\0\0", "it offers SCRAM-SHA-256"),
        (CERTIFICATE, b"\0", "it offers nothing"),
        (b"", b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", "not inside TLS"),
    ],
)
def test_a_target_that_must_bind_and_does_not_gets_nothing(binding, offered, why):
    with pytest.raises(WireError, match=why):
        login(replace(SCRAM, binding=binding, insists=True)).feed(b"R", ask(10, offered))


@pytest.mark.parametrize("data", [b"EXTERNAL\0\0", b"\0", b"SCRAM-SHA-1\0\0", b"SCRAM-SHA-256-PLUS\0\0"])
def test_a_server_that_offers_only_what_is_not_spoken_is_named(data):
    with pytest.raises(WireError, match="must offer SCRAM-SHA-256"):
        login().feed(b"R", ask(10, data))


def test_a_server_that_does_not_know_the_password_is_not_believed():
    server = Server("another password")
    one = login()
    first = one.feed(b"R", ask(10, b"SCRAM-SHA-256\0\0"))
    one.feed(b"R", server.first(answer(first)))
    with pytest.raises(WireError, match="does not know the role's password"):
        one.feed(b"R", ask(12, b"v=" + b"A" * 43 + b"="))


@pytest.mark.parametrize("skipped", ["first", "challenged"])
def test_a_server_that_lets_the_gateway_in_without_its_own_proof_is_not_believed(skipped):
    one = login()
    first = one.feed(b"R", ask(10, b"SCRAM-SHA-256\0\0"))
    if skipped == "challenged":
        one.feed(b"R", Server().first(answer(first)))
    with pytest.raises(WireError, match="before it proved that it is itself"):
        one.feed(b"R", ask(0))


@pytest.mark.parametrize(
    ("code", "data", "why"),
    [
        (0, b"", "no login at all"),
        (3, b"", "the password in clear text"),
        (5, b"salt", "an MD5 password"),
        (2, b"", "authentication 2"),
        (7, b"", "authentication 7"),
        (9, b"", "authentication 9"),
        (11, b"r=x", "authentication 11"),
        (12, b"v=x", "authentication 12"),
        (0xFFFFFFFF, b"", "authentication 4294967295"),
    ],
)
def test_a_target_that_asks_for_less_than_it_is_configured_for_gets_nothing(code, data, why):
    with pytest.raises(WireError, match=why) as caught:
        login().feed(b"R", ask(code, data))
    assert "s3cret" not in str(caught.value)
    assert "configured for login scram" in str(caught.value)


@pytest.mark.parametrize("way", ["scram", "md5", "certificate", "none"])
def test_a_password_in_clear_is_not_asked_of_a_target_that_is_not_configured_for_it(way):
    with pytest.raises(WireError, match=f"configured for login {way}"):
        login(replace(SCRAM, login=way, private=True)).feed(b"R", ask(3))


def test_a_password_in_clear_is_not_sent_where_it_could_be_read():
    with pytest.raises(WireError, match="could be read"):
        login(replace(SCRAM, login="password")).feed(b"R", ask(3))


def test_a_password_in_clear_is_sent_where_that_is_configured_and_nobody_reads():
    one = login(replace(SCRAM, login="password", private=True))
    assert answer(one.feed(b"R", ask(3))) == b"s3cret-of-the-role\0"
    one.feed(b"R", ask(0))
    one.feed(b"Z", b"I")
    assert one.ready


def test_an_md5_password_is_salted_as_the_manual_says():
    one = login(replace(SCRAM, login="md5"))
    inner = hashlib.md5(b"s3cret-of-the-roleshop_app").hexdigest().encode()
    assert answer(one.feed(b"R", ask(5, b"\1\2\3\4"))) == b"md5" + hashlib.md5(inner + b"\1\2\3\4").hexdigest().encode() + b"\0"
    one.feed(b"R", ask(0))
    assert not one.ready


@pytest.mark.parametrize("salt", [b"", b"abc", b"abcde"])
def test_an_md5_salt_of_another_length_is_refused(salt):
    with pytest.raises(WireError, match="MD5 salt"):
        login(replace(SCRAM, login="md5")).feed(b"R", ask(5, salt))


def test_a_target_for_md5_may_ask_for_scram():
    assert logged_in(login(replace(SCRAM, login="md5")), Server()).ready


@pytest.mark.parametrize("code", [3, 5])
def test_a_server_that_asks_twice_is_not_told_twice(code):
    one = login(replace(SCRAM, login="password", private=True))
    one.feed(b"R", ask(code, b"salt"))
    with pytest.raises(WireError, match="at step told"):
        one.feed(b"R", ask(code, b"salt"))


@pytest.mark.parametrize("way", ["certificate", "none"])
def test_a_server_that_knows_the_gateway_otherwise_asks_for_nothing(way):
    one = login(replace(SCRAM, secret="", login=way))
    assert one.feed(b"R", ask(0)) == b""
    one.feed(b"Z", b"I")
    assert one.ready


def test_a_role_without_a_password_cannot_be_asked_for_one():
    with pytest.raises(WireError, match="has no password here"):
        login(replace(SCRAM, secret="", login="certificate")).feed(b"R", ask(10, b"SCRAM-SHA-256\0\0"))


@pytest.mark.parametrize("rounds", [b"1", b"4095", b"1000001", b"99999999999999999999", b"", b"-4096", b"4e3"])
def test_rounds_that_prove_too_little_or_cost_too_much_are_refused(rounds):
    one = login()
    one.feed(b"R", ask(10, b"SCRAM-SHA-256\0\0"))
    with pytest.raises(WireError, match="SCRAM rounds"):
        one.feed(b"R", ask(11, b"r=" + NONCE.encode() + b"x,s=c2FsdHNhbHRzYWx0,i=" + rounds))


@pytest.mark.parametrize("key", [b"", b"1234567", b"k" * 261, b"k" * 100_000])
def test_a_cancel_key_of_no_known_length_is_refused(key):
    one = login(replace(SCRAM, login="none"))
    one.feed(b"R", ask(0))
    with pytest.raises(WireError, match="cancel key"):
        one.feed(b"K", key)


def test_a_server_that_reports_settings_without_end_is_cut_off():
    one = login(replace(SCRAM, login="none"))
    one.feed(b"R", ask(0))
    for number in range(200):
        one.feed(b"S", f"setting{number}\0x\0".encode())
    with pytest.raises(WireError, match="over 200 settings"):
        one.feed(b"S", b"another\0x\0")


@pytest.mark.parametrize("kind", [b"T", b"D", b"C", b"G", b"d", b"A", b"1"])
def test_nothing_but_a_login_is_taken_before_it_is_over(kind):
    one = login()
    with pytest.raises(WireError, match="before the login was over"):
        one.feed(kind, b"")
