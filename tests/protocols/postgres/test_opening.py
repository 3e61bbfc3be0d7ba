"""How connections begin, as playbooks: what is asked before TLS, which version is spoken, and how a bearer token comes in."""

import json
import struct

import pytest
from tests.playbook import Playbook, like
from tests.protocols.postgres.stage import COVERING, KEYS, SECRET, SESSION, hung_up, messages, ready, shown, shown_error

from gatebook.model import RefusalClass, Ruling, Verdict
from gatebook.protocols.postgres import wire
from gatebook.protocols.postgres.bearer import Bearer
from gatebook.protocols.postgres.opening import Keys
from gatebook.protocols.postgres.relay import PostgresRelay
from gatebook.protocols.relay import (
    Cancel,
    Credential,
    FromClient,
    FromServer,
    HangUp,
    Held,
    Opened,
    Prove,
    Refused,
    StartTls,
    ToClient,
    Withdraw,
)

GSS_REQUEST = struct.pack("!II", 8, 80877104)
BEARER = Bearer("https://idp/.well-known/openid-configuration", "openid gatebook")
NOBODY = Verdict(ruling=Ruling.BLOCK, rule="no-identity", reason="the token expired", policy_digest="")
CLOSED = Verdict(ruling=Ruling.BLOCK, rule="not-open-to-you", reason="closed", policy_digest="")


def relay(**kwargs):
    return PostgresRelay(**({"secure": True, "offers_tls": True, "keys": KEYS, "secret": SECRET, "bearer": BEARER} | kwargs))


def startup(code=0x30000, **parameters):
    body = struct.pack("!I", code)
    body += b"".join(f"{k}\0{v}\0".encode() for k, v in ({"user": "a", "database": "shop"} | parameters).items()) + b"\0"
    return FromClient(struct.pack("!I", len(body) + 4) + body)


def initial(token=b"Bearer ze-bra", head=b"n,,", mechanism=b"OAUTHBEARER", more=b""):
    data = head + b"\x01auth=" + token + b"\x01" + more + b"\x01"
    return FromClient(wire.message(b"p", mechanism + b"\0" + struct.pack("!I", len(data)) + data))


# Encryption


def test_gss_encryption_is_declined_and_tls_may_be_asked_for_next():
    play = Playbook(relay(secure=False))
    play.tell(FromClient(GSS_REQUEST)).expect(ToClient(b"N"))
    play.tell(FromClient(wire.ssl_request())).expect(StartTls(b"S"))
    play.tell(startup()).expect(ToClient(wire.ASK_PASSWORD))


def test_gss_encryption_is_declined_and_the_startup_packet_may_come_next():
    play = Playbook(relay())
    play.tell(FromClient(GSS_REQUEST)).expect(ToClient(b"N"))
    play.tell(startup()).expect(ToClient(wire.ASK_PASSWORD))


@pytest.mark.parametrize("request_", [GSS_REQUEST, wire.ssl_request()])
@pytest.mark.parametrize("behind", [b"x", GSS_REQUEST, b"\x16\x03\x01", wire.startup({"user": "a", "database": "shop"})])
@pytest.mark.parametrize("offers_tls", [True, False])
def test_bytes_sent_ahead_of_the_answer_about_encryption_are_refused(request_, behind, offers_tls):
    effects = relay(offers_tls=offers_tls).feed(FromClient(request_ + behind))
    assert "before it was answered" in hung_up(effects)
    assert not any(isinstance(effect, StartTls) for effect in effects)
    assert b"R" not in {kind for kind, _ in messages(shown(effects))}


@pytest.mark.parametrize("request_", [GSS_REQUEST, wire.ssl_request()])
def test_encryption_is_asked_for_once(request_):
    one = relay(offers_tls=False)
    assert one.feed(FromClient(request_)) == [ToClient(b"N")]
    assert "came twice" in hung_up(one.feed(FromClient(request_)))


# Versions


@pytest.mark.parametrize(("asked", "spoken"), [(0, None), (2, None), (1, 0), (3, 2), (9999, 2)])
def test_a_minor_version_that_is_not_spoken_is_negotiated_down(asked, spoken):
    effects = relay().feed(startup(0x30000 | asked))
    said = messages(shown(effects))
    assert said[-1] == (b"R", struct.pack("!I", 3))
    assert [body for kind, body in said if kind == b"v"] == (
        [] if spoken is None else [struct.pack("!II", 0x30000 | spoken, 0)]
    )


def test_unknown_protocol_options_are_named_in_the_negotiation():
    effects = relay().feed(startup(0x30002, **{"_pq_.colour": "blue", "_pq_.test_protocol_negotiation": ""}))
    kind, body = messages(shown(effects))[0]
    assert kind == b"v"
    assert body == struct.pack("!II", 0x30002, 2) + b"_pq_.colour\0_pq_.test_protocol_negotiation\0"


@pytest.mark.parametrize("code", [0x20000, 0x40000, 80877102 + 5])
def test_another_major_version_is_not_spoken(code):
    assert "is not spoken here" in hung_up(relay().feed(startup(code)))


def logged_in(one, minor):
    one.feed(startup(0x30000 | minor))
    one.feed(FromClient(wire.message(b"p", b"token\0")))
    one.feed(Opened(SESSION, Credential("shop_app", "pw", "shop", login="none"), COVERING))
    effects = one.feed(FromServer(wire.AUTHENTICATED + wire.message(b"K", b"srvrkey!") + ready()))
    return dict(messages(shown(effects)))


@pytest.mark.parametrize(("minor", "key"), [(0, KEYS.short), (1, KEYS.short), (2, KEYS.long), (7, KEYS.long)])
def test_a_cancel_key_is_as_long_as_the_version_has_room_for(minor, key):
    assert logged_in(relay(), minor)[b"K"] == key
    assert len(key) == (8 if minor < 2 else 40)


@pytest.mark.parametrize("size", [8, 40, 260])
def test_a_cancel_request_carries_keys_of_any_length(size):
    key = bytes(range(256)) * 2
    effects = relay().feed(FromClient(wire.cancel_request(key[:size])))
    assert effects[0] == Cancel(key[:size])


@pytest.mark.parametrize("size", [0, 4, 7, 261, 9_000])
def test_a_cancel_key_of_another_length_is_refused(size):
    effects = relay().feed(FromClient(wire.cancel_request(b"k" * size)))
    assert "cancel key" in hung_up(effects)
    assert not any(isinstance(effect, Cancel) for effect in effects)


def test_keys_do_not_show_in_reprs():
    assert "12345678" not in repr(Keys(b"12345678", b"123456789"))


# Bearer tokens


def test_a_bearer_token_is_proved_like_a_password_for_the_default_role():
    play = Playbook(relay())
    play.tell(startup(user="oauth")).expect(ToClient(wire.ask_sasl("OAUTHBEARER")))
    play.tell(initial()).expect(like(Prove, token="ze-bra", target="shop", role=""))


def test_a_listener_for_bearer_tokens_asks_everybody_and_keeps_the_role():
    play = Playbook(relay(bearer=Bearer("https://idp/x", "openid", always=True)))
    play.tell(startup(user="reader")).expect(ToClient(wire.ask_sasl("OAUTHBEARER")))
    play.tell(initial(b"bearer  tok.en~+/==", more=b"host=h\x01port=5432\x01")).expect(
        like(Prove, token="tok.en~+/==", role="reader")
    )


def test_others_are_asked_for_a_password():
    Playbook(relay()).tell(startup(user="reader")).expect(ToClient(wire.ASK_PASSWORD))


def test_a_client_without_a_token_is_told_where_to_get_one_and_then_that_it_failed():
    play = Playbook(relay())
    play.tell(startup(user="oauth")).expect(ToClient)
    (effect,) = play.tell(initial(b"")).expect(ToClient)
    code, data = wire.authentication(messages(effect.data)[0][1])
    assert code == 11
    assert json.loads(data) == {
        "status": "invalid_token",
        "openid-configuration": "https://idp/.well-known/openid-configuration",
        "scope": "openid gatebook",
    }
    said, _ = play.tell(FromClient(wire.message(b"p", b"\x01"))).expect(ToClient, HangUp)
    assert shown_error([said])["C"] == "28000"


def test_a_token_that_proves_nothing_is_answered_by_where_to_get_another_and_why():
    play = Playbook(relay())
    play.tell(startup(user="oauth")).expect(ToClient)
    play.tell(initial()).expect(Prove)
    (effect,) = play.tell(Refused(None, NOBODY, RefusalClass.ASK, "d-1")).expect(ToClient)
    assert b'"invalid_token"' in effect.data
    said, _ = play.tell(FromClient(wire.message(b"p", b"\x01"))).expect(ToClient, HangUp)
    assert "the token expired" in shown_error([said])["M"]


def test_a_session_that_is_closed_to_the_tokens_holder_is_said_so_at_once():
    play = Playbook(relay())
    play.tell(startup(user="oauth")).expect(ToClient)
    play.tell(initial()).expect(Prove)
    said, _ = play.tell(Refused(None, CLOSED, RefusalClass.ASK, "d-1")).expect(ToClient, HangUp)
    assert shown_error([said])["C"] == "28000"


def test_a_dismissed_client_cannot_go_on_with_another_token():
    play = Playbook(relay())
    play.tell(startup(user="oauth")).expect(ToClient)
    play.tell(initial(b"")).expect(ToClient)
    play.tell(initial()).expect(ToClient, HangUp)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (initial(mechanism=b"PLAIN"), "was not offered"),
        (initial(mechanism=b"SCRAM-SHA-256"), "was not offered"),
        (initial(head=b"p=tls-server-end-point,,"), "begins with n,,"),
        (initial(head=b"n,a=dba,"), "begins with n,,"),
        (initial(head=b""), "begins with n,,"),
        (initial(b"Basic ze-bra"), "no bearer token"),
        (initial(b"Bearer "), "no bearer token"),
        (initial(b"Bearer ze bra"), "no bearer token"),
        (initial(b"Bearer ze\0bra"), "no bearer token"),
        (initial(b"Bearer ze\xe9bra"), "no bearer token"),
        (initial(more=b"auth=Bearer another\x01"), "2 values for auth"),
        (FromClient(wire.message(b"p", b"OAUTHBEARER\0" + struct.pack("!I", 5) + b"n,,\x01\x01")), "0 values for auth"),
        (FromClient(wire.message(b"p", b"OAUTHBEARER\0" + struct.pack("!I", 12) + b"n,,\x01auth=")), "says 12 bytes"),
        (FromClient(wire.message(b"p", b"OAUTHBEARER\0" + struct.pack("!I", 10) + b"n,,\x01auth=x")), "has no end"),
        (FromClient(wire.message(b"p", b"OAUTHBEARER\0\xff\xff\xff\xff")), "begins with n,,"),
        (FromClient(wire.message(b"p", b"OAUTHBEARER")), "has no end"),
        (FromClient(wire.message(b"Q", b"SELECT 1\0")), "where the password was due"),
    ],
)
def test_a_bearer_message_that_is_not_one_is_refused_without_its_token(message, why):
    one = relay()
    one.feed(startup(user="oauth"))
    effects = one.feed(message)
    assert why in hung_up(effects)
    assert b"bra" not in shown(effects)
    assert not any(isinstance(effect, Prove) for effect in effects)


def test_a_bearer_message_over_the_limit_is_refused_by_what_came_of_it():
    one = relay()
    one.feed(startup(user="oauth"))
    assert "send a token" in hung_up(one.feed(FromClient(b"p" + struct.pack("!I", 100_000) + b"x" * 70_000)))


def test_a_bearer_token_is_not_asked_for_where_it_could_be_read_on_its_way():
    effects = relay(secure=False).feed(startup(user="oauth"))
    assert "connect with TLS" in hung_up(effects)
    assert b"R" not in {kind for kind, _ in messages(shown(effects))}


def test_startup_settings_that_people_would_have_to_approve_are_refused_at_once():
    """No client reads a notice before its login is over, and few would wait."""
    one = relay()
    one.feed(startup(options="-c session_replication_role=replica"))
    one.feed(FromClient(wire.message(b"p", b"token\0")))
    one.feed(Opened(SESSION, Credential("shop_app", "pw", "shop", login="none"), COVERING))
    held = Held("ap-1", "admin-needs-dba", "changes settings", frozenset({"group:dba"}), "https://gate/approvals/ap-1", 300)
    effects = one.feed(held)
    assert [type(effect) for effect in effects] == [Withdraw, ToClient, HangUp]
    assert shown_error(effects)["C"] == "28000"
    assert "held by admin-needs-dba" in shown_error(effects)["M"]
