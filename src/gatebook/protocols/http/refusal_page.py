"""What a person reads in a browser where a program gets a problem document: the same facts as a page of one file.

It stands on the target's own host, so it holds nothing that runs, loads nothing, and cannot be framed; whatever is not ours on
it is escaped. Style comes with it, allowed by its digest.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from string import Template
from typing import Any

from gatebook.protocols.http.message import Fields

STYLE = (
    ":root{color-scheme:light dark;--ground:#f6f7f9;--paper:#fff;--ink:#16191f;--soft:#545c69;--line:#d8dce3;--link:#1d4fb8;"
    "--go:#17693a;--go-ink:#fff}"
    "@media(prefers-color-scheme:dark){:root{--ground:#101319;--paper:#181c24;--ink:#e9ecf1;--soft:#a4adba;--line:#2f3643;"
    "--link:#8db4ff;--go:#2f9e5c;--go-ink:#04140a}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);"
    'font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}'
    "main{max-width:40rem;margin:0 auto;padding:1.5rem}"
    "section{background:var(--paper);border:1px solid var(--line);border-radius:8px;padding:1.25rem 1.5rem}"
    ".brand{font-weight:700;margin:0 0 1rem}h1{font-size:1.35rem;line-height:1.3;margin:0 0 .75rem}p{margin:0 0 .75rem}"
    "a{color:var(--link);text-underline-offset:.15em}p,dd,h1{overflow-wrap:anywhere}"
    "dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.25rem 1rem;margin:1rem 0 0;padding-top:1rem;"
    "border-top:1px solid var(--line);font-size:.9rem}dt{color:var(--soft)}dd{margin:0}"
    "dd{font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace}"
    "button,.button{display:inline-block;font:inherit;font-weight:600;background:var(--go);color:var(--go-ink);border:0;"
    "border-radius:6px;padding:.45rem 1rem;cursor:pointer;text-decoration:none}"
    ":focus-visible{outline:3px solid var(--link);outline-offset:2px}"
    "@media(max-width:30rem){main{padding:1rem}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}}"
)
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
HEAD: Fields = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
)
_PAGE = Template(
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
    "<title>$title · Gatebook</title>\n<style>$style</style>\n</head>\n<body>\n<main>\n"
    '<p class="brand">Gatebook</p>\n<section>\n<h1>$title</h1>\n$body</section>\n</main>\n</body>\n</html>\n'
)
_TITLES = {  # by what the refused can do about it
    "wait": "This waits for people",
    "ask": "This needs somebody's yes",
    "never": "This is not allowed",
    "fix": "This cannot be done as it was asked",
}
_TOLD = ("rule", "decision", "verb", "reach", "resources", "approval", "approvers")
_AGAIN = "Once they have said yes, load this page again: the same request passes then, once."
CHARACTERS = 2_000  # of anything that a page shows


@dataclass(frozen=True, slots=True)
class Link:
    """Somewhere to go on to: an address, what it is called, and whether it is what most want."""

    address: str
    name: str
    main: bool = False


def page(title: str, sentences: Iterable[str], facts: Mapping[str, str], links: Iterable[Link] = (), form: str = "") -> bytes:
    """A page. ``form`` is a button's name and address, "NAME=ADDRESS", for what changes something."""
    body = "".join(f"<p>{_plain(one)}</p>\n" for one in sentences if one)
    for link in links:
        shown = ' class="button"' if link.main else ""
        body += f'<p><a{shown} href="{escape(link.address)}">{_plain(link.name)}</a></p>\n'
    if form:
        name, _, address = form.partition("=")
        body += f'<form method="post" action="{escape(address)}"><button>{_plain(name)}</button></form>\n'
    told = "".join(f"<dt>{_plain(name)}</dt><dd>{_plain(value)}</dd>\n" for name, value in facts.items() if value)
    body += f"<dl>\n{told}</dl>\n" if told else ""
    return _PAGE.substitute(title=_plain(title), style=STYLE, body=body).encode("utf-8", "replace")


def of_problem(status: int, title: str, detail: str, more: Mapping[str, Any]) -> bytes:
    """A problem document as a page."""
    kind = str(more.get("class", ""))
    sentences = [f"{detail[:1].upper()}{detail[1:]}{'' if detail.endswith('.') else '.'}"]
    if kind == "wait":
        sentences.append(_AGAIN)
    elif more.get("instead"):
        sentences.append(str(more["instead"]))
    links = [Link(str(more["follow"]), "See who decides, and whether they have", main=True)] if more.get("follow") else []
    if more.get("open"):
        links.append(Link(str(more["open"]), "Sign in" if status == HTTPStatus.UNAUTHORIZED else "Open it", main=True))
    facts = {name: _said(more[name]) for name in _TOLD if more.get(name)} | {"status": f"{status} {title}"}
    return page(_TITLES.get(kind, title) if status == HTTPStatus.FORBIDDEN else title, sentences, facts, links)


def _said(value: object) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list | tuple) else str(value)


def _plain(text: str) -> str:
    """Escaped, with every character that is not seen as its code point, and an end."""
    cut = text if len(text) <= CHARACTERS else f"{text[:CHARACTERS]}…"
    return escape("".join(one if one.isprintable() else f"[U+{ord(one):04X}]" for one in cut))
