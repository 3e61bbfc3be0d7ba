"""What a person hears in a browser who may not open a target."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gatebook.gateway.desk import NOT_OPEN, OTHER_PURPOSE
from gatebook.gateway.http.browsers import Browsers
from gatebook.model import RefusalClass, Ruling, Verdict
from gatebook.protocols.http.door import Knock
from gatebook.protocols.http.message import Request
from gatebook.protocols.http.refusal import Problem
from gatebook.protocols.relay import Refused

ASKED = Request("GET", "https", "api.targets.example", "/", ())


def heard(rule: str, *, browser: bool, target: str = "api") -> str:
    listeners = SimpleNamespace(public_url="https://gate.example", http=None)
    config = SimpleNamespace(listeners=listeners, identity=SimpleNamespace(providers=()))
    verdict = Verdict(ruling=Ruling.BLOCK, rule=rule, reason="because", policy_digest="", instead="Ask somebody.")
    refused = Refused(None, verdict, RefusalClass.NEVER, "d1")
    knock = cast(Knock, SimpleNamespace(browser=browser, target=target))
    problem = Browsers(cast(Any, config), cast(Any, None), lambda: 0).not_let_in(ASKED, knock, refused)
    assert isinstance(problem, Problem)
    return str(problem.more["instead"])


def test_who_may_not_open_a_target_hears_how_to_ask_for_it_and_that_a_page_states_no_ticket():
    said = heard(NOT_OPEN, browser=True)
    assert "`gatebook grants request api --reason WHY`" in said
    assert "`gatebook connect api --why TICKET`" in said


def test_a_token_in_the_place_of_a_name_is_not_said_back():
    assert "4111111111111111" not in heard(NOT_OPEN, browser=True, target="4111111111111111")


@pytest.mark.parametrize(("rule", "browser"), [(NOT_OPEN, False), (OTHER_PURPOSE, True)])
def test_everybody_else_hears_what_the_refusal_says(rule, browser):
    assert heard(rule, browser=browser) == "Ask somebody."
