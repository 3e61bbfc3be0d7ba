"""Claims of a token whose signature holds: which ones make an identity, and which are refused, with what words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.identity.issuer import AUDIENCE, ISSUER, NOW, SECOND, claims

from gatebook.errors import IdentityError
from gatebook.identity.claims import LEEWAY_SECONDS, Reading, identity_of
from gatebook.identity.strictjson import read_object
from gatebook.model import Attribute, Identity, Kind


def reading(**changes: Any) -> Reading:
    base: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "groups_claim": "groups", "kind": None}
    return Reading(**(base | {"kind_claim": "kind", "attributes": ("model",)} | changes))


def identity(found: dict[str, Any], **changes: Any) -> Identity:
    return identity_of(found, reading(**changes), NOW)


def test_good_claims_make_the_whole_identity() -> None:
    assert identity(claims(sub="alice", act={"sub": "agent-7"}, groups=["agents", "eu"])) == Identity(
        subject="agent-7",
        issuer=ISSUER,
        kind=Kind.AGENT,
        groups=frozenset({"agents", "eu"}),
        attributes={"model": Attribute(value="opus", attested=True)},
        proven_at=NOW,
        expires_at=NOW + 600 * SECOND,
        on_behalf_of="alice",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iss": ISSUER + "/"}, "issuer (iss) is not https://issuer.test"),
        ({"iss": None}, "issuer (iss) is not"),
        ({"aud": "other"}, "another audience (aud): ask https://issuer.test for one whose audience is gatebook"),
        ({"aud": None}, "another audience"),
        ({"aud": []}, "another audience"),
        ({"aud": ["gatebook", 7]}, "another audience"),
        ({"aud": "gatebook2"}, "another audience"),
        ({"aud": {"gatebook": 1}}, "another audience"),
        ({"exp": None}, "has no expiry time (exp)"),
        ({"exp": True}, "exp is not a number"),
        ({"exp": "1900000000"}, "exp is not a number"),
        ({"exp": [1_900_000_000]}, "exp is not a number"),
        ({"exp": float("inf")}, "exp is not a number"),
        ({"exp": 10**30}, "exp is not a time between"),
        ({"exp": 1e300}, "exp is not a time between"),
        ({"exp": -1}, "exp is not a time between"),
        ({"exp": 10**4000}, "exp is not a time between"),
        ({"exp": NOW // SECOND}, "expired at 2027-01-15T08:00:00Z: get a new one"),
        ({"exp": NOW // SECOND - 60}, "expired at 2027-01-15T07:59:00Z"),
        ({"nbf": NOW // SECOND + LEEWAY_SECONDS + 1}, "is not valid before 2027-01-15T08:00:31Z (nbf)"),
        ({"iat": NOW // SECOND + LEEWAY_SECONDS + 1}, "was issued in the future, at 2027-01-15T08:00:31Z (iat)"),
        ({"nbf": "soon"}, "nbf is not a number"),
        ({"iat": False}, "iat is not a number"),
        ({"sub": None}, "subject (sub) is missing"),
        ({"sub": ""}, "subject (sub) is missing"),
        ({"sub": 7}, "subject (sub) is missing or not a string"),
        ({"sub": "x" * 257}, "longer than 256 characters"),
        ({"sub": "a\nb"}, "not printable"),
        ({"sub": "a\u202eb"}, "not printable"),
        ({"sub": "a\ud800"}, "not printable"),
        ({"sub": "a\x00"}, "not printable"),
        ({"groups": "dba"}, "groups is not a list"),
        ({"groups": {"dba": True}}, "groups is not a list"),
        ({"groups": ["dba", 7]}, "group in groups is missing or not a string"),
        ({"groups": ["dba", "a\nb"]}, "not printable"),
        ({"groups": ["x" * 257]}, "longer than 256"),
        ({"_claim_names": {"groups": "src1"}}, "does not list all of its groups"),
        ({"_claim_names": {}}, "does not list all of its groups"),
        ({"hasgroups": True}, "does not list all of its groups"),
        ({"hasgroups": "true"}, "does not list all of its groups"),
        ({"kind": None}, "kind is not one of person, agent, ci"),
        ({"kind": "admin"}, "kind is not one of person, agent, ci"),
        ({"kind": ["agent"]}, "kind is not one of"),
        ({"model": 4}, "claim model is missing or not a string"),
        ({"model": "a\x1b[2J"}, "not printable"),
        ({"act": "alice"}, "act is not an object"),
        ({"act": {"sub": "a", "iss": "https://elsewhere"}}, "of another issuer"),
        ({"act": {}}, "acting party (act.sub) is missing"),
        ({"act": {"sub": ["alice"]}}, "acting party (act.sub) is missing or not a string"),
        ({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}, "reports an event"),
        ({"cnf": {"jkt": "x"}}, "bound to a key (cnf)"),
    ],
)
def test_a_bad_claim_is_refused_with_its_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(IdentityError) as caught:
        identity(claims(**changes))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["other", "gatebook"]},
        {"exp": NOW / SECOND + 0.5},
        {"nbf": NOW // SECOND + LEEWAY_SECONDS},
        {"iat": NOW // SECOND + LEEWAY_SECONDS},
        {"iat": None},
        {"groups": []},
        {"groups": None},
        {"hasgroups": False},
        {"model": None},
        {"sub": "x" * 256},
        {"sub": "Zoë Müller"},
    ],
)
def test_what_is_merely_unusual_passes(changes: dict[str, Any]) -> None:
    assert identity(claims(**changes)).issuer == ISSUER


def test_no_message_repeats_the_words_of_a_token() -> None:
    poison = "poison\u0007"
    for name in ("iss", "aud", "exp", "nbf", "iat", "sub", "kind", "model", "act", "groups"):
        with pytest.raises(IdentityError) as caught:
            identity(claims(**{name: poison}))
        assert "poison" not in str(caught.value), name


def test_kind_by_configuration_does_not_look_at_the_claim() -> None:
    assert identity(claims(kind="person"), kind=Kind.CI).kind is Kind.CI


def test_only_configured_attributes_are_taken_over() -> None:
    assert set(identity(claims(owner="mallory", model="opus")).attributes) == {"model"}


def test_a_second_providers_groups_carry_its_name() -> None:
    assert identity(claims(groups=["dba"]), prefix="partner/").groups == {"partner/dba"}


def test_a_first_providers_group_cannot_pose_as_a_second_providers() -> None:
    with pytest.raises(IdentityError, match="named like another provider's group"):
        identity(claims(groups=["partner/dba"]), others=("partner/",))
    assert identity(claims(groups=["partners", "/dba"]), others=("partner/",)).groups == {"partners", "/dba"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"aud": "gatebook", "aud": "other"}', "stands twice"),
        (b'{"act": {"sub": "a", "sub": "b"}}', "stands twice"),
        (b'{"exp": NaN}', "not JSON"),
        (b'{"exp": Infinity}', "not JSON"),
        (b'{"exp": ' + b"9" * 5_000 + b"}", "not JSON"),
        (b"[" * 15_000, "nested too deep"),
        (b"\xff{}", "not JSON"),
        (b"", "not JSON"),
        (b"[]", "not an object"),
        (b"7", "not an object"),
    ],
)
def test_json_that_two_readers_may_read_differently_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_object(data)


def test_a_claim_says_what_a_token_is_for_and_the_provider_vouches_for_that() -> None:
    found = identity(claims(ticket="OPS-7"), purpose_claim="ticket")
    assert found.attributes["purpose"] == Attribute(value="OPS-7", attested=True)
    assert found.purpose == "OPS-7"


@pytest.mark.parametrize("absent", [{}, {"ticket": ""}, {"ticket": None}])
def test_a_token_without_a_purpose_has_none(absent: dict[str, Any]) -> None:
    assert identity(claims(**absent), purpose_claim="ticket").purpose == ""
    assert identity(claims(ticket="OPS-7")).purpose == ""


@pytest.mark.parametrize("value", ["x" * 201, "OPS-7\u202e", "a\nb", ["OPS-7"], {"id": 7}, 7, True])
def test_a_purpose_that_does_not_read_the_same_everywhere_is_refused(value: object) -> None:
    with pytest.raises(IdentityError, match="purpose"):
        identity(claims(ticket=value), purpose_claim="ticket")


def test_a_purpose_that_only_the_client_states_is_none_of_the_providers() -> None:
    stated = Attribute(value="OPS-7", attested=False)
    assert replace(identity(claims()), attributes={"purpose": stated}).purpose == ""
