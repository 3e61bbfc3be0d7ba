"""Tokens on their way back: the target gets the value where one may stand, the book keeps the token, the rest is refused."""

import struct

import pytest
from tests.protocols.postgres.stage import (
    IDENTITY,
    SESSION,
    Stage,
    asked,
    cells,
    complete,
    description,
    messages,
    question,
    ready,
    sent,
    shown,
)

from gatebook.masking.detectors import NAMES
from gatebook.masking.rules import ColumnPattern, MaskSet, Style
from gatebook.masking.tokens import seal, token_key
from gatebook.model import Identity
from gatebook.protocols.postgres import wire
from gatebook.protocols.relay import Covering, Credential, FromClient, FromServer, Opened

SSN = b"987-65-4320"
SETS = {
    "pii": MaskSet("pii", (ColumnPattern.parse("customers.ssn"),), Style.TOKEN),
    "mail": MaskSet("mail", (ColumnPattern.parse("*.email"),), Style.TOKEN),
    "hidden": MaskSet("hidden", (ColumnPattern.parse("vault.secret"),), Style.REDACT),
    "short": MaskSet("short", (ColumnPattern.parse("vault.hint"),), Style.PARTIAL),
}
KEYS = {name: (token_key(b"m" * 32, name), token_key(b"m" * 32, name, "yesterday")) for name in ("pii", "mail")}
COVERING = Covering(SETS, frozenset(SETS), NAMES, b"k" * 32, KEYS)
TOKEN = (seal(SSN, KEYS["pii"][0]) or b"").decode()
OLD = (seal(SSN, KEYS["pii"][1]) or b"").decode()
FOREIGN = (seal(SSN, token_key(b"m" * 32, "somebody else")) or b"").decode()
TABLES = {
    "customers": ["id", "ssn", "email", "note"],
    "vault": ["id", "secret", "hint"],
    "seen": ["id", "ssn"],
}


class TokenStage(Stage):
    """A stage with tables of its own and sets whose style is token."""

    def open(self) -> "TokenStage":
        self.feed(FromClient(wire.startup({"user": "shop-agent", "database": "shop"})))
        self.feed(FromClient(wire.message(b"p", b"token\0")))
        self.feed(Opened(SESSION, Credential("shop_app", "pw", "shop", login="none"), COVERING))
        login = wire.AUTHENTICATED + wire.message(b"S", b"client_encoding\0UTF8\0") + wire.message(b"K", b"srvrkey!") + ready()
        self.feed(FromServer(login))
        self.effects.clear()
        return self

    def _look_up(self, data: bytes) -> list:  # type: ignore[type-arg]
        text = question(data)
        names = sorted((name for name in TABLES if f'"{name}"' in text), key=lambda name: text.index(f'"{name}"'))
        found = [("s", 0, 0, 0, "", "public", "")]
        for number, name in enumerate(names):
            oid = 100 + list(TABLES).index(name)
            found += [("c", number, oid, at, "public", name, column) for at, column in enumerate(TABLES[name], 1)]
            found += [("u", number, 100, 2, "public", "customers", "ssn")] if name == "seen" else []
        rows = b"".join(wire.message(b"D", cells(*(str(cell).encode() for cell in one))) for one in found)
        return self.feed(FromServer(asked(rows)))

    @property
    def tests(self) -> frozenset[str]:
        return frozenset().union(*(deed.facts["tests_masked"] for deed in self.asked.action.deeds))  # type: ignore[arg-type]

    @property
    def keys_written(self) -> frozenset[str]:
        return frozenset().union(*(deed.facts["keys_masked"] for deed in self.asked.action.deeds))  # type: ignore[arg-type]


def parse(text: str) -> bytes:
    return wire.message(b"P", b"\0" + text.encode() + b"\0" + struct.pack("!H", 0))


def bind(*values: bytes | None) -> bytes:
    return wire.message(b"B", b"\0\0" + struct.pack("!H", 0) + cells(*values) + struct.pack("!HH", 1, 1))


RESOLVED = [
    "SELECT id FROM customers WHERE ssn = '%s'",
    "SELECT id FROM customers c WHERE '%s' = c.ssn AND id > 5",
    "SELECT id FROM customers WHERE ssn IN ('%s', '%s')",
    "SELECT 'ä', id FROM customers WHERE ssn = '%s'::text",
    "INSERT INTO customers (id, ssn) VALUES (5, '%s')",
    "INSERT INTO customers VALUES (5, '%s')",
    "INSERT INTO customers (id, ssn) SELECT 5, '%s'",
    "UPDATE customers SET ssn = '%s' WHERE id = 5",
    "UPDATE vault SET secret = '%s' WHERE id = 5",
    "DELETE FROM customers WHERE ssn = '%s' RETURNING id",
]


@pytest.mark.parametrize("text", RESOLVED)
@pytest.mark.parametrize("token", [TOKEN, OLD], ids=["today's", "yesterday's"])
def test_a_token_in_a_text_is_its_value_for_the_target_and_a_token_in_the_book(text: str, token: str) -> None:
    stage = TokenStage().open()
    text = text.replace("%s", token)
    stage.client(wire.query(text))
    assert stage.asked.action.text == text
    assert SSN.decode() not in stage.asked.shown
    assert stage.tests == frozenset()
    assert sent(stage.allow()) == wire.query(text.replace(token, SSN.decode()))


def test_a_text_that_is_sent_with_values_is_not_written_anew_for_the_sessions_name() -> None:
    """Else the token would be written over the real value: the tag is put into the client's own text."""
    stage = TokenStage().open()
    stage.client(wire.query(f"UPDATE customers SET ssn = '{TOKEN}' WHERE id = 5; SET application_name = 'x'"))
    assert TOKEN.encode() not in sent(stage.allow())


@pytest.mark.parametrize("text", RESOLVED)
def test_a_token_as_a_parameter_is_its_value_for_the_target(text: str) -> None:
    stage = TokenStage().open()
    stage.client(parse(text.replace("'%s'", "$1")))
    assert stage.tests == frozenset()
    stage.allow()
    stage.client(bind(TOKEN.encode()))
    assert stage.asked.action.parameters == (TOKEN.encode(),)
    assert stage.tests == frozenset()
    assert sent(stage.allow()).startswith(bind(SSN))


def test_a_comparison_with_anything_but_a_token_is_a_test_once_it_is_bound() -> None:
    stage = TokenStage().open()
    stage.client(parse("SELECT id FROM customers WHERE ssn = $1"))
    stage.allow()
    stage.client(bind(SSN))
    assert stage.tests == {"public.customers.ssn"}


REFUSED = {
    "SELECT id FROM customers WHERE ssn = '%f'": "another run",
    "INSERT INTO customers (ssn) VALUES ('%f')": "another run",
    "INSERT INTO customers (email) VALUES ('%s')": "another run",
    "SELECT id FROM customers WHERE email = '%s'": "another run",
    "UPDATE vault SET hint = '%s' WHERE id = 5": "another run",
    "SELECT id FROM seen WHERE ssn = '%s'": "another run",
    "UPDATE seen SET ssn = '%s' WHERE id = 1": "another run",
    "EXPLAIN SELECT id FROM customers WHERE ssn = '%s'": "shows or keeps its own text",
    "DECLARE c CURSOR FOR SELECT id FROM customers WHERE ssn = '%s'": "shows or keeps its own text",
    "PREPARE p AS SELECT id FROM customers WHERE ssn = '%s'": "shows or keeps its own text",
    "SELECT current_query() FROM customers WHERE ssn = '%s'": "shows or keeps its own text",
    "SELECT id FROM customers WHERE ssn = '%s'; SELECT CURRENT_QUERY()": "shows or keeps its own text",
    "SELECT (SELECT statement FROM pg_cursors LIMIT 1) FROM customers WHERE ssn = '%s'": "shows or keeps its own text",
    "PREPARE p AS UPDATE customers SET ssn = $1 WHERE id = 5; EXECUTE p('%s')": "shows or keeps its own text",
    "PREPARE p AS UPDATE customers SET ssn = $1 WHERE id = 5; EXECUTE p('%f')": "another run",
    "PREPARE p AS UPDATE customers SET ssn = $1 WHERE id = 5; EXECUTE p('****')": "covered value over the real one",
    "INSERT INTO customers (ssn) SELECT '%s' UNION SELECT '987-65-4320'": "another place too",
    "UPDATE customers SET ssn = '****' WHERE id = 5": "covered value over the real one",
    "UPDATE customers SET ssn = '***-**-4320' WHERE id = 5": "covered value over the real one",
    "INSERT INTO customers VALUES (5, 'A****')": "covered value over the real one",
    "UPDATE vault SET hint = 'h:0123456789abcdef' WHERE id = 5": "covered value over the real one",
    "UPDATE customers SET email = 'a***@example.com' WHERE id = 5": "covered value over the real one",
    "UPDATE vault SET secret = '<iban>' WHERE id = 5": "covered value over the real one",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_may_not_be_resolved_or_written_back_is_refused_with_the_reason(text: str) -> None:
    stage = TokenStage().open()
    stage.client(wire.query(text.replace("%s", TOKEN).replace("%f", FOREIGN)))
    assert REFUSED[text] in stage.asked.fault
    assert SSN not in sent(stage.allow())
    assert wire.query("x")[:1] not in [kind for kind, _ in messages(sent(stage.effects))]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("SELECT id FROM customers WHERE ssn = $1 OR note LIKE $1", [TOKEN]),
        ("INSERT INTO customers (ssn, note) VALUES ($1, $1)", [TOKEN]),
        ("UPDATE customers SET ssn = $1, note = upper($1) WHERE id = 1", [TOKEN]),
        ("SELECT $1 FROM customers WHERE ssn = $1", [TOKEN]),
        ("EXPLAIN SELECT id FROM customers WHERE ssn = $1", [TOKEN]),
        ("UPDATE customers SET ssn = $1 WHERE id = $2", [FOREIGN, "1"]),
        ("UPDATE customers SET ssn = $1 WHERE id = $2", ["***-**-4320", "1"]),
    ],
)
def test_a_parameter_that_would_show_elsewhere_is_refused(text: str, values: list[str]) -> None:
    stage = TokenStage().open()
    stage.client(parse(text))
    stage.allow()
    stage.client(bind(*(value.encode() for value in values)))
    assert stage.asked.fault
    assert SSN not in sent(stage.allow())


def test_a_token_in_the_text_of_a_prepared_statement_is_refused() -> None:
    stage = TokenStage().open()
    stage.client(parse(f"SELECT id FROM customers WHERE ssn = '{TOKEN}'"))
    assert "send it as a parameter" in stage.asked.fault


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO customers (note) VALUES ('see %s')",
        "INSERT INTO customers (note) VALUES ('%s')",
        "SELECT id FROM customers WHERE note = '%s'",
        "SELECT '%s' FROM customers",
        "UPDATE customers SET note = '****' WHERE id = 1",
    ],
)
def test_in_columns_that_nothing_masks_a_token_is_a_text_like_any_other(text: str) -> None:
    stage = TokenStage().open()
    stage.client(wire.query(text.replace("%s", TOKEN)))
    assert not stage.asked.fault
    assert sent(stage.allow()) == wire.query(text.replace("%s", TOKEN))


def test_a_token_in_an_expression_is_not_resolved_and_asks_about_the_column() -> None:
    stage = TokenStage().open()
    stage.client(wire.query(f"SELECT id FROM customers WHERE ssn < '{TOKEN}'"))
    assert stage.tests == {"public.customers.ssn"}
    assert SSN not in sent(stage.allow())


def test_quotes_and_backslashes_of_a_value_stay_inside_of_its_constant() -> None:
    token = (seal(rb"a'b\'; DROP TABLE x; --", KEYS["pii"][0]) or b"").decode()
    stage = TokenStage().open()
    stage.client(wire.query(f"SELECT id FROM customers WHERE ssn = '{token}'"))
    assert sent(stage.allow()) == wire.query(r"SELECT id FROM customers WHERE ssn = 'a''b\''; DROP TABLE x; --'")


def test_an_approval_that_comes_late_sends_the_value_still() -> None:
    stage = TokenStage().open()
    stage.client(wire.query(f"UPDATE customers SET ssn = '{TOKEN}' WHERE id = 5"))
    stage.hold()
    assert SSN in sent(stage.allow())


def test_the_answer_shows_the_token() -> None:
    stage = TokenStage().open()
    stage.client(wire.query("SELECT ssn FROM customers"))
    stage.allow(frozenset(SETS))
    effects = stage.server(description(("ssn", 100, 2)) + wire.message(b"D", cells(SSN)) + complete("SELECT 1") + ready())
    assert TOKEN.encode() in shown(effects)
    assert SSN not in shown(effects)


def test_what_was_resolved_is_in_no_repr() -> None:
    stage = TokenStage().open()
    stage.client(wire.query(f"SELECT id FROM customers WHERE ssn = '{TOKEN}'"))
    assert SSN.decode() not in repr(stage.asked)
    assert repr(COVERING).count("b'") == 0
    assert isinstance(IDENTITY, Identity)
