"""``gatebook policy check``, ``test`` and ``explain``: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from tests.policy.parties import PERMIT_ALL, identity
from tests.policy.place import placed, run

from gatebook.cli.policy import app
from gatebook.config import load
from gatebook.db import engine, migrate, writing
from gatebook.identity.store import record_seen
from gatebook.model import Attribute, Kind

MASKING = '@id("m") @mask("pii") permit (principal, action, resource);\n'


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return placed(tmp_path)


def asked(config: Path, statement: str, *more: str) -> dict[str, object]:
    result = run(config, "explain", "--target", "shop", "--as", "billing-agent", "--json", *more, statement)
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


# explain


def test_explaining_gives_exactly_the_promised_json(demo: Path) -> None:
    found = asked(demo, "DELETE FROM customers", "--kind", "agent")
    facts = found.pop("facts")
    assert isinstance(facts, dict)
    assert facts["has_where"] is False
    assert facts["tables"] == ["customers"]
    ruled = {
        "ruling": "block",
        "rule": "no-delete-without-where",
        "reason": "DELETE without a WHERE would empty the table",
    }
    customers = {"kind": "table", "name": "customers"}
    assert found == {
        "verb": "sql.delete",
        "reach": "write",
        "resources": [customers],
        **ruled,
        "actions": [{"verb": "sql.delete", "reach": "write", "resource": customers, "facts": facts, **ruled}],
        "masks": ["pii"],
        "approvers": [],
        "most_rows": None,
    }


def test_explaining_says_how_many_rows_may_change(demo: Path) -> None:
    least = {"rows": 100, "rule": "few-deletes"}
    assert asked(demo, "DELETE FROM notes WHERE id < 9", "--kind", "agent")["most_rows"] == least
    uncounted = asked(demo, "DELETE FROM notes WHERE id < 9; SELECT 1", "--kind", "agent")
    assert (uncounted["ruling"], uncounted["rule"]) == ("block", "few-deletes")
    assert asked(demo, "UPDATE notes SET body = '' WHERE id < 9", "--kind", "agent")["most_rows"] is None
    assert asked(demo, "DELETE FROM notes WHERE id < 9", "--kind", "person", "--group", "dba")["most_rows"] is None


def test_explaining_names_who_could_approve(demo: Path) -> None:
    found = asked(demo, "ALTER TABLE customers ADD COLUMN note text", "--kind", "agent")
    assert (found["ruling"], found["approvers"]) == ("approve", ["group:dba"])
    assert asked(demo, "ALTER TABLE customers ADD COLUMN note text", "--kind", "agent", "--approved")["ruling"] == "allow"


def test_every_deed_of_a_text_is_explained(demo: Path) -> None:
    found = asked(demo, "SELECT 1; DROP TABLE notes", "--kind", "agent")
    actions = found["actions"]
    assert isinstance(actions, list)
    assert [(one["verb"], one["ruling"]) for one in actions] == [("sql.select", "allow"), ("sql.drop", "block")]
    assert (found["verb"], found["rule"]) == ("sql.drop", "no-drop")


@pytest.mark.parametrize(
    ("statement", "ruling"),
    [
        ("SELECT ssn FROM customers", "mask"),
        ("SELECT ssn AS id FROM customers", "mask"),
        ("SELECT * FROM customers", "mask"),
        ("SELECT customers FROM customers", "mask"),
        ("SELECT id FROM customers", "allow"),
        ("SELECT 1", "allow"),
    ],
)
def test_the_ruling_is_mask_where_a_covered_column_may_be_in_the_answer(demo: Path, statement: str, ruling: str) -> None:
    assert asked(demo, statement, "--kind", "agent")["ruling"] == ruling


def test_kind_groups_and_attributes_decide(tmp_path: Path) -> None:
    rule = (
        '@id("a") permit (principal in Group::"dba", action, resource) '
        'when { principal.kind == "person" && principal.attested.contains("model=a=b") };'
    )
    config = placed(tmp_path, a=rule)
    whole = ("--kind", "person", "--group", "x", "--group", "dba", "--attr", "model=a=b")
    assert asked(config, "SELECT 1", *whole)["ruling"] == "allow"
    assert asked(config, "SELECT 1", *whole[2:])["ruling"] == "block"
    assert asked(config, "SELECT 1", *whole[:4], "--attr", "model=a=b")["ruling"] == "block"
    assert asked(config, "SELECT 1", *whole[:6])["ruling"] == "block"


def test_somebody_never_seen_counts_as_an_agent_and_that_is_said(demo: Path) -> None:
    result = run(demo, "explain", "--target", "shop", "--as", "new", "--json", "SELECT 1")
    assert json.loads(result.stdout)["rule"] == "agents-read"
    assert "new was not seen here yet: taken as an agent without groups" in result.stderr


def test_asking_makes_no_database(demo: Path) -> None:
    run(demo, "explain", "--target", "shop", "--as", "new", "SELECT 1")
    assert not (demo.parent / "gatebook.db").exists()


def test_kind_groups_and_attributes_are_those_the_gateway_last_saw(tmp_path: Path) -> None:
    rule = 'when { principal.kind == "ci" && principal.attested.contains("model=m") && principal.attested.contains("run=7") }'
    config = placed(tmp_path, a=f'@id("a") permit (principal in Group::"nightly", action, resource) {rule};')
    source = engine(load(config, files=False).database_url)
    migrate(source)
    seen = identity("builder", Kind.CI, frozenset({"nightly"}), {"model": Attribute(value="m", attested=True)})
    with writing(source) as connection:
        record_seen(connection, seen, 1)
    source.dispose()
    line = ("explain", "--target", "shop", "--as", "builder", "--attr", "run=7", "--json", "SELECT 1")
    result = run(config, *line)
    assert (json.loads(result.stdout)["rule"], result.stderr) == ("a", "")
    assert json.loads(run(config, *line, "--kind", "ci").stdout)["rule"] == "no-rule"


def test_a_database_that_cannot_be_read_is_said_and_counts_as_never_seen(demo: Path) -> None:
    (demo.parent / "gatebook.db").write_bytes(b"no database " * 100)
    result = run(demo, "explain", "--target", "shop", "--as", "new", "--json", "SELECT 1")
    assert result.exit_code == 0
    assert "the gateway's database cannot be read" in result.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--target", "shp", "--as", "a", "--kind", "agent", "SELECT 1"), "target 'shp': expected one of shop"),
        (("--target", "shop", "--as", "a", "--attr", "model", "SELECT 1"), "--attr 'model': expected NAME=VALUE"),
        (("--target", "shop", "--as", "a", "--kind", "robot", "SELECT 1"), "robot"),
        (("--target", "shop", "SELECT 1"), "--as"),
    ],
)
def test_a_question_that_cannot_be_asked_is_exit_code_2(demo: Path, args: tuple[str, ...], said: str) -> None:
    result = run(demo, "explain", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_policy_with_faults_decides_nothing(tmp_path: Path) -> None:
    config = placed(tmp_path, a='@id("a") permit (principal, action, resource) when { context.foo };')
    for command in (("explain", "--target", "shop", "--as", "a", "SELECT 1"), ("test", str(tmp_path / "x.yaml"))):
        result = run(config, *command)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "a.cedar:1: rule a:" in result.stderr


def test_what_is_shown_to_people_fits_80_columns_and_moves_no_terminal(demo: Path) -> None:
    long = "SELECT " + ", ".join(f"column_{number}" for number in range(40)) + ' FROM "\x1b[2Jevil\u202e"; DROP TABLE x'
    result = run(demo, "explain", "--target", "shop", "--as", "b\x1b[2J", "--kind", "agent", long)
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output


def test_what_a_rule_in_shadow_would_do_is_shown(tmp_path: Path) -> None:
    config = placed(tmp_path, a=PERMIT_ALL + '@id("soon") @mode("shadow") forbid (principal, action, resource);')
    result = run(config, "explain", "--target", "shop", "--as", "a", "--kind", "agent", "SELECT 1")
    assert "allow by all" in result.stdout
    assert "shadow soon: would block" in result.stdout


# check


def test_a_valid_policy_is_counted_and_what_deserves_a_look_is_listed(tmp_path: Path) -> None:
    lifting = '@id("lift") @unmask("pii") permit (principal, action, resource) when { context.granted >= 1 };\n'
    config = placed(tmp_path, a=PERMIT_ALL, b=lifting + '@id("soon") @mode("shadow") forbid (principal, action, resource);')
    result = run(config, "check")
    assert result.exit_code == 0
    assert "3 valid rules in 2 files" in result.stdout
    assert "standing access, held without any grant: all\n" in result.stdout
    assert "lift a mask: lift\n" in result.stdout
    assert "in shadow, not enforced: soon\n" in result.stdout
    found = json.loads(run(config, "check", "--json").stdout)
    assert [(rule["id"], rule["file"], rule["standing"], rule["shadow"]) for rule in found["rules"]] == [
        ("all", "a.cedar", True, False),
        ("lift", "b.cedar", False, False),
        ("soon", "b.cedar", False, True),
    ]


def test_faults_of_a_policy_are_listed_with_exit_code_1(tmp_path: Path) -> None:
    config = placed(tmp_path, a='@id("a") @msk("x") permit (principal, action, resource);\n' + PERMIT_ALL, b=PERMIT_ALL)
    result = run(config, "check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "a.cedar:1: rule a: @msk: expected one of" in result.stderr
    assert "b.cedar:1: rule all: @id is at a.cedar:2 too" in result.stderr
    found = json.loads(run(config, "check", "--json").stdout)
    assert len(found["faults"]) == 2


def test_a_mask_set_that_is_not_configured_is_a_fault(tmp_path: Path) -> None:
    result = run(placed(tmp_path, a=MASKING.replace("pii", "pi")), "check")
    assert result.exit_code == 1
    assert "a.cedar:1: rule m: mask set 'pi': expected one of pii" in result.stderr


def test_a_configuration_that_is_not_there_is_exit_code_2(tmp_path: Path) -> None:
    for command in (("check",), ("test",), ("explain", "--target", "t", "--as", "a", "SELECT 1")):
        assert run(tmp_path / "none.yaml", *command).exit_code == 2


# test


def table(folder: Path, text: str) -> str:
    path = folder / "table.yaml"
    path.write_text(text)
    return str(path)


CASE = "- {as: a, target: shop, statement: 'DELETE FROM notes', expect: EXPECT, rule: RULE}\n"


def test_cases_that_are_decided_as_expected_are_exit_code_0(demo: Path) -> None:
    text = CASE.replace("EXPECT", "block").replace("RULE", "no-delete-without-where")
    result = run(demo, "test", table(demo.parent, text * 2))
    assert (result.exit_code, result.stdout) == (0, "2 cases, all as expected\n")


@pytest.mark.parametrize(("expect", "rule"), [("allow", "agents-write"), ("block", "no-rule"), ("approve", "null")])
def test_a_case_that_is_decided_differently_is_shown_with_exit_code_1(demo: Path, expect: str, rule: str) -> None:
    path = table(demo.parent, "# cases\n" + CASE.replace("EXPECT", expect).replace("RULE", rule))
    result = run(demo, "test", path)
    assert result.exit_code == 1
    assert f"{path}:2: agent a: DELETE FROM notes" in " ".join(result.stdout.split())
    assert f"  - {expect} by {'any rule' if rule == 'null' else rule}\n" in result.stdout
    assert "  + block by no-delete-without-where\n" in result.stdout
    assert "1 case, 1 failed" in result.stdout
    found = json.loads(run(demo, "test", "--json", path).stdout)
    assert [(one["passed"], one["line"], one["decided"]["ruling"]) for one in found] == [(False, 2, "block")]


def test_a_case_may_say_when_from_where_and_for_what(tmp_path: Path) -> None:
    condition = (
        'context.hour == 8 && context.weekday == 1 && context.purpose == "T-1" && context.client_address == ip("10.1.2.3")'
    )
    config = placed(tmp_path, a=f'@id("a") permit (principal, action, resource) when {{ {condition} }};')
    case = (
        '- {as: a, target: shop, statement: SELECT 1, at: "2026-03-02T10:59:00+02:00", '
        "address: 10.1.2.3, purpose: T-1, expect: allow}"
    )
    assert run(config, "test", table(tmp_path, case)).exit_code == 0
    assert run(config, "test", table(tmp_path, case.replace("-02T", "-03T"))).exit_code == 1
    assert run(config, "test", table(tmp_path, case.replace("10.1.2.3", "10.1.2.4"))).exit_code == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a YAML list with at least one case"),
        ("[]", "expected a YAML list with at least one case"),
        ("a: b", "expected a YAML list with at least one case"),
        ("- [", "expected a readable YAML list"),
        ("- !!python/object/apply:os.getcwd []", "expected a readable YAML list"),
        ("- 7", "table.yaml:1: case:"),
        (CASE.replace("EXPECT", "deny").replace("RULE", "x"), "table.yaml:1: expect:"),
        (CASE.replace("EXPECT", "allow").replace("rule:", "rul:"), "table.yaml:1: rul:"),
        (CASE.replace("as: a, ", "").replace("EXPECT", "allow"), "table.yaml:1: as:"),
        (
            CASE.replace("as: a,", "as: a, at: 2026-01-01,").replace("EXPECT", "allow"),
            'expected a time with its zone, as "2026',
        ),
        (CASE.replace("shop", "shp").replace("EXPECT", "allow"), "table.yaml:1: target 'shp': expected one of shop"),
    ],
)
def test_a_table_that_cannot_be_used_is_exit_code_2(demo: Path, text: str, said: str) -> None:
    result = run(demo, "test", table(demo.parent, text))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_without_tables_there_is_nothing_to_pass(tmp_path: Path) -> None:
    result = run(placed(tmp_path, a=PERMIT_ALL), "test")
    assert (result.exit_code, result.stdout) == (2, "")


def test_each_command_has_help_that_names_its_exit_codes() -> None:
    from typer.testing import CliRunner

    assert isinstance(app, typer.Typer)
    for command in ("check", "test", "explain"):
        assert "exit code" in CliRunner().invoke(app, [command, "--help"]).stdout.lower()


def test_explaining_says_what_a_rule_makes_of_what_it_holds(demo: Path) -> None:
    assert asked(demo, "VACUUM customers", "--kind", "agent")["hold"] == "answer"
    assert asked(demo, "ALTER TABLE customers ADD COLUMN note text", "--kind", "agent")["hold"] is None
    plain = run(demo, "explain", "--target", "shop", "--as", "a", "--kind", "agent", "VACUUM customers")
    assert "hold: answer" in plain.output


def test_explaining_takes_the_purpose_that_a_session_would_state(tmp_path: Path) -> None:
    rule = '@id("a") permit (principal, action, resource) when { context.purpose == "OPS-7" && !context.purpose_attested };'
    config = placed(tmp_path, a=rule)
    assert asked(config, "SELECT 1", "--kind", "agent", "--why", "OPS-7")["ruling"] == "allow"
    assert asked(config, "SELECT 1", "--kind", "agent")["ruling"] == "block"


def test_a_case_may_say_what_becomes_of_what_is_held_and_which_purpose_is_attested(tmp_path: Path) -> None:
    attested = '@id("a") permit (principal, action, resource) when { context.purpose == "OPS-7" && context.purpose_attested };'
    held = '@id("b") @hold("answer") @approvers("group:dba") forbid (principal, action, resource) unless { context.approved };'
    config = placed(tmp_path, a=attested, b=held)
    row = "{as: a, target: shop, statement: SELECT 1, expect: approve, purpose: OPS-7, purpose_attested: true, hold: answer}"
    table = tmp_path / "cases.yaml"
    table.write_text(f"- {row}\n")
    assert run(config, "test", str(table)).exit_code == 0
    table.write_text(f"- {row.replace('hold: answer', 'hold: wait')}\n")
    result = run(config, "test", str(table))
    assert result.exit_code == 1
    assert "approve by any rule, hold wait" in result.output
    assert "approve by b, hold answer" in result.output
    table.write_text(f"- {row.replace('purpose_attested: true, ', '')}\n")
    assert run(config, "test", str(table)).exit_code == 1
