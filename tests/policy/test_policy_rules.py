"""Loading: what may stand in a policy file, and how each fault is told."""

from __future__ import annotations

import pytest
from tests.policy.parties import PERMIT_ALL

from gatebook.errors import PolicyError
from gatebook.policy.rules import load


def faults(text: str, name: str = "rules.cedar") -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load({name: text})
    return caught.value.faults


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("permit (principal, action, resource);", "rules.cedar:1: rule without @id: @id: expected one on every rule"),
        ('@id("No Drop") permit (principal, action, resource);', "@id('No Drop'): expected lower-case letters"),
        ('@id("no-rule") permit (principal, action, resource);', "@id('no-rule'): expected lower-case letters"),
        (
            '@id("a") @reasn("x") permit (principal, action, resource);',
            "rule a: @reasn: expected one of @approvers, @hold, @id",
        ),
        ('@id("a") @hold("wait") permit (principal, action, resource);', "@hold on a permit: expected on a forbid only"),
        ('@id("a") @hold("wait") forbid (principal, action, resource);', "@hold: expected @approvers beside it"),
        (
            '@id("a") @approvers("group:dba") @hold("propose") forbid (principal, action, resource)'
            " unless { context.approved };",
            "@hold('propose'): expected wait or answer",
        ),
        (
            '@id("a") @approvers("group:dba") permit (principal, action, resource);',
            "@approvers on a permit: expected on a forbid",
        ),
        (
            '@id("a") forbid (principal, action in Action::"http", resource == Route::"crm/iam");',
            'resource == Route::"crm/iam": expected resource in it',
        ),
        (
            '@id("a") forbid (principal, action, resource in Route::"crm/IAM");',
            "expected small letters, which hold for capitals",
        ),
        ('@id("a") permit (principal, action, resource in Route::"crm/iam/");', "expected target and path, as Route::"),
        ('@id("a") permit (principal, action, resource in Route::"crm");', "expected target and path, as Route::"),
        ('@id("a") permit (principal, action, resource in Route::"/iam");', "expected target and path, as Route::"),
        ('@id("a") @instead("x") permit (principal, action, resource);', "@instead on a permit: expected on a forbid only"),
        ('@id("a") @mask("pii") forbid (principal, action, resource);', "@mask on a forbid: expected on a permit only"),
        ('@id("a") @unmask("pii") forbid (principal, action, resource);', "@unmask on a forbid: expected on a permit only"),
        ('@id("a") @most_rows("9") forbid (principal, action, resource);', "@most_rows on a forbid: expected on a permit only"),
        ('@id("a") @most_rows("0") permit (principal, action, resource);', "@most_rows('0'): expected a number of rows from 1"),
        ('@id("a") @most_rows("1e3") permit (principal, action, resource);', "@most_rows('1e3'): expected a number of rows"),
        (
            '@id("a") @most_rows("9999999999") permit (principal, action, resource);',
            "expected a number of rows from 1 to 1000000000",
        ),
        ('@id("a") @mask("") permit (principal, action, resource);', "@mask(''): expected names of mask sets"),
        ('@id("a") @mask("pii,,x") permit (principal, action, resource);', "@mask('pii,,x'): expected names of mask sets"),
        ('@id("a") @mode("off") permit (principal, action, resource);', "@mode('off'): expected shadow"),
        ('@id("a") @reason("") forbid (principal, action, resource);', "@reason(''): expected a text of 1 to 300"),
        ('@id("a") @reason("x\\n") forbid (principal, action, resource);', "@reason('x\\n'): expected a text of 1 to 300"),
        ('@id("a") permit (principal == ?principal, action, resource);', "rule a: a template: expected no ?principal"),
        ('@id("a") permit (principal, action, resource == ?resource);', "rule a: a template: expected no ?principal"),
        ('@id("a") permit (principal, action == Action::"sql.selct", resource);', "unrecognized action"),
        ('@id("a") permit (principal, action in Action::"sql", resource) when { context.table == "x" };', "table"),
        ('@id("a") forbid (principal, action, resource) when { context.hour == "x" };', "Long and String are not compatible"),
        (
            '@id("a") permit (principal, action, resource) when { principal.kind == "agnet" };',
            'kind "agnet": expected one of agent',
        ),
        (
            '@id("a") permit (principal, action, resource) when { ["bot"].contains(principal.kind) };',
            'kind "bot": expected one of',
        ),
        (
            '@id("a") forbid (principal, action, resource) when { "admn" == context.reach };',
            'reach "admn": expected one of admin',
        ),
        (
            '@id("a") forbid (principal, action in Action::"sql", resource) when { context.copies_to == "prog" };',
            'copies_to "prog": expected one of client, file, program',
        ),
        (
            '@id("a") forbid (principal, action, resource == Table::"shop/public.customers");',
            'expected resource in Table::"shop/customers"',
        ),
        ("permit (principal, action", "rules.cedar:1: unexpected end of input: expected Cedar rules"),
        ("", "policies: no rule in any .cedar file: expected at least one permit"),
        ("// nothing here;\n", "policies: no rule in any .cedar file: expected at least one permit"),
    ],
)
def test_each_fault_names_what_stands_there_and_what_was_expected(text: str, expected: str) -> None:
    assert any(expected in fault for fault in faults(text)), faults(text)


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "when { context.approved }",
        "unless { !context.approved }",
        "when { !context.approved && context.approved }",
        "unless { context.approved == false }",
        "when { if context.approved then false else true }",
        'unless { context has "approved" }',
        'unless { principal in Group::"dba" }',
    ],
)
def test_a_forbid_with_approvers_must_be_lifted_by_an_approval(condition: str) -> None:
    text = f'@id("a") @approvers("group:dba") forbid (principal, action, resource) {condition};'
    assert any("@approvers: expected unless { context.approved }" in fault for fault in faults(text))


@pytest.mark.parametrize(
    "condition",
    [
        "unless { context.approved }",
        'unless { context["approved"] }',
        "when { !context.approved }",
        "unless { context.approved && context.granted >= 2 }",
        'unless { context.approved || principal.kind == "person" }',
        "when { context.hour > 18 } unless { context.approved }",
    ],
)
def test_ways_to_say_that_an_approval_lifts_a_forbid(condition: str) -> None:
    text = f'@id("a") @approvers("group:dba") forbid (principal, action, resource) {condition};'
    assert load({"a.cedar": text}).rules["a"].approvers == {"group:dba"}


@pytest.mark.parametrize(
    "rule",
    [
        "permit (principal, action, resource) when { context.approved };",
        "forbid (principal, action, resource) unless { context.approved };",
        "forbid (principal, action, resource) when { {a: context}.a.approved };",
    ],
)
def test_an_approval_counts_in_no_rule_without_approvers(rule: str) -> None:
    assert any("context.approved: expected only in a forbid with @approvers" in fault for fault in faults(f'@id("a") {rule}'))


@pytest.mark.parametrize("approvers", ["", "dba", "group:", "person:ann", "group:dba,", "group: dba", "group:dba group:x,y"])
def test_approvers_are_groups(approvers: str) -> None:
    text = f'@id("a") @approvers("{approvers}") forbid (principal, action, resource) unless {{ context.approved }};'
    assert any('expected groups, as "group:dba"' in fault for fault in faults(text))


def test_every_fault_of_every_file_is_told_at_once() -> None:
    with pytest.raises(PolicyError) as caught:
        load(
            {
                "b.cedar": '// first\n\n@id("x") permit (principal, action, resource);\n  // second\n@id("y")\n@foo("1") '
                "permit (principal, action, resource);",
                "a.cedar": '@id("x") permit (principal, action, resource) wen { true };',
                "c.cedar": '@id("x")\nforbid (principal, action, resource);',
            }
        )
    told = "\n".join(caught.value.faults)
    assert "a.cedar:1: invalid policy condition: wen" in told
    assert "b.cedar:5: rule y: @foo: expected" in told
    assert "c.cedar:1: rule x: @id is at b.cedar:3 too" in told


def test_the_line_of_a_broken_rule_is_told_when_whole_ones_stand_around_it() -> None:
    text = PERMIT_ALL + '\n@id("b")\n@reason("a; b")\nforbid (principal action, resource);\n' + PERMIT_ALL
    assert faults(text)[0].startswith("rules.cedar:3: ")


def test_semicolons_in_strings_and_comments_end_no_rule() -> None:
    text = (
        "// one; two\n"
        '@id("a") // three;\n@reason("x; y // z; permit (principal, action, resource);")\n'
        "permit (principal, action, resource); // four;\n// five;"
    )
    rules = load({"a.cedar": text}).rules
    assert list(rules) == ["a"]
    assert rules["a"].reason == "x; y // z; permit (principal, action, resource);"
    assert rules["a"].line == 2


def test_a_comment_without_end_of_line_cannot_swallow_the_next_file() -> None:
    loaded = load({"a.cedar": PERMIT_ALL + "// the end", "b.cedar": '@id("no") forbid (principal, action, resource);'})
    assert set(loaded.rules) == {"all", "no"}
    assert set(loaded.enforced.ids.values()) == {"all", "no"}


def test_an_expression_too_deep_to_inspect_is_a_fault_not_a_crash() -> None:
    deep = "!" * 20_000 + "true"
    assert faults(f'@id("a") permit (principal, action, resource) when {{ {deep} }};')
    nested = " || ".join(["true"] * 500)
    assert faults(f'@id("a") permit (principal, action, resource) when {{ {nested} }};')


def test_a_permit_that_needs_no_grant_is_listed_as_standing_access() -> None:
    rules = load({"a.cedar": PERMIT_ALL + '@id("g") permit (principal, action, resource) when { context.granted >= 1 };'}).rules
    assert [name for name, rule in rules.items() if rule.standing] == ["all"]


def test_the_digest_is_of_names_and_texts_and_of_nothing_else() -> None:
    one = load({"a.cedar": PERMIT_ALL}).digest
    assert one.startswith("sha256:")
    assert load({"a.cedar": PERMIT_ALL}).digest == one
    assert load({"b.cedar": PERMIT_ALL}).digest != one
    assert load({"a.cedar": PERMIT_ALL + " "}).digest != one
    assert load({"a.cedar": PERMIT_ALL, "b": ""}).digest != one
