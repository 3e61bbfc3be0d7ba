"""Calls to the API in somebody's name: their token, one request, its answer or the reason why there is none."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from gatebook.cli.apiclient import Gateway, RefusedError, call, check_token, find_gateway, said
from gatebook.cli.token import CaOption, FromOption, IssuerOption, UrlOption, fail, get_token
from gatebook.errors import GatebookError

ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it stands in the ledger, and the other side reads it.")]
OPTIONS: Mapping[str, Any] = {"url": UrlOption, "ca": CaOption, "source": FromOption, "issuer": IssuerOption}


@dataclass(frozen=True, slots=True)
class Somebody:
    """Whoever runs the command, as the API knows them."""

    gateway: Gateway
    token: str = field(repr=False)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer to one request; raises RefusedError with what the API says."""
        status, answer = call(method, f"{self.gateway.url}{path}", self.gateway.verify, body=body, bearer=self.token)
        if status >= 300:
            raise RefusedError(said(answer, status))
        return answer


def sign_in(url: str | None, ca: Path | None, source: str | None, issuer: str | None) -> Somebody:
    """By ``$GATEBOOK_TOKEN``, else by a new gateway token, as ``gatebook token`` gets one; raises RefusedError, UsageError."""
    gateway = find_gateway(url, ca)
    return Somebody(gateway, held_or_new(gateway, source, issuer))


def held_or_new(gateway: Gateway, source: str | None, issuer: str | None) -> str:
    """The token of ``$GATEBOOK_TOKEN``, else a new one; raises RefusedError, UsageError."""
    held = os.environ.get("GATEBOOK_TOKEN")
    if held and source is None:
        return check_token(held, "GATEBOOK_TOKEN")
    return get_token(gateway, source, issuer).token


def signed_in(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a command of a function whose first argument is ``somebody``: it has ``OPTIONS`` too, and says what went wrong."""

    def made(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(url: str | None, ca: Path | None, source: str | None, issuer: str | None, **own: Any) -> None:
            with speaking(name):
                command(sign_in(url, ca, source, issuer), **own)

        hints = get_type_hints(command, include_extras=True)
        (_, *own) = inspect.signature(command).parameters.values()
        asked = [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, default=None) for each in OPTIONS]
        annotations = {**{each.name: hints[each.name] for each in own}, **OPTIONS}
        parameters = [each.replace(annotation=annotations[each.name]) for each in (*own, *asked)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = annotations
        del run.__wrapped__
        return run

    return made


@contextmanager
def speaking(command: str) -> Iterator[None]:
    """Says what went wrong, and leaves with 1, or with 2 for what the caller left out."""
    try:
        yield
    except GatebookError as error:
        fail(command, error)
