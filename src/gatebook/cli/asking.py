"""Calls to the API in somebody's name: their token, one request, its answer or the reason why there is none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from gatebook.cli.apiclient import Gateway, RefusedError, call, check_token, find_gateway, said
from gatebook.cli.token import CaOption, FromOption, IssuerOption, UrlOption, get_token

__all__ = ["CaOption", "FromOption", "IssuerOption", "ReasonOption", "Somebody", "UrlOption", "sign_in"]

ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it stands in the ledger, and the other side reads it.")]


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
    held = os.environ.get("GATEBOOK_TOKEN")
    if held and source is None:
        return Somebody(gateway, check_token(held, "GATEBOOK_TOKEN"))
    return Somebody(gateway, get_token(gateway, source, issuer).token)
