"""report.html: one page without scripts and without anything from elsewhere, to read on a screen and on paper.

Every value from the log is escaped here; there is no other way into the page. Standard library only, since the verifier makes
the page again and compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from gatebook.evidence.controls import Result
from gatebook.evidence.criteria import NOT_PROVED, OPINION
from gatebook.evidence.tables import Table, printable

MOST = 200  # rows of a table on the page; the CSV has them all
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#57606a;--line:#d0d7de;--back:#fff;--soft:#f6f8fa;--good:#1a7f37;
--bad:#b42318;--warn:#8a5a00}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9aa5b1;--line:#30363d;--back:#0d1117;--soft:#161b22;--good:#56d364;
--bad:#ff8f86;--warn:#e3b341}}
*{box-sizing:border-box}body{margin:0 auto;max-width:72rem;padding:2rem 1.25rem;background:var(--back);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.7rem;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2.25rem 0 .5rem;border-bottom:1px solid var(--line)}
p{margin:.4rem 0}.dim{color:var(--dim)}.mono,td.mono{font:12.5px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;min-width:56rem;font-size:13.5px}
th,td{text-align:left;vertical-align:top;padding:.35rem .8rem .35rem 0;border-bottom:1px solid var(--line);
overflow-wrap:break-word}th{color:var(--dim);font-weight:600}.number{text-align:right;white-space:nowrap}td.mono{min-width:9rem}
.note{border-left:4px solid var(--warn);background:var(--soft);padding:.6rem .9rem;margin:1rem 0}
.operated{color:var(--good)}.deviations{color:var(--bad)}.not-covered,.no-occurrence{color:var(--warn)}
.result{font-weight:600;white-space:nowrap}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}
dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}
@media print{:root{--ink:#000;--dim:#333;--line:#999;--back:#fff;--soft:#fff;--good:#000;--bad:#000;--warn:#000}
body{max-width:none;padding:0;font-size:10.5pt}.wide{overflow:visible}table{font-size:8.5pt;min-width:0}tr{break-inside:avoid}
thead{display:table-header-group}h2{break-after:avoid}@page{margin:16mm}}
"""
SHOWN = {
    "populations/refusals": ("index", "time", "session", "verb", "objects", "rule", "reason", "text"),
    "populations/door": ("index", "time", "kind", "target", "rule", "reason"),
    "populations/approvals": ("index", "time", "kind", "target", "verb", "votes", "verdict", "seconds", "ended", "independent"),
    "populations/grants": ("index", "time", "targets", "reach", "until", "uses", "used_late", "revoked_by"),
    "exceptions": ("index", "time", "what", "detail"),
    "restarts": ("index", "time", "how", "software", "build_changed", "left_open"),
    "config-history": ("index", "what", "version", "by", "approved_by", "in_force_from", "in_force_to"),
    "coverage": ("first_minute", "last_minute", "minutes", "state", "cosigned"),
}
MONO = frozenset({"text", "version", "session", "digest", "objects"})
NUMBERS = frozenset({"cases", "rows", "index", "minutes", "seconds", "uses", "used_late", "left_open"})


def render(
    span: Mapping[str, Any], vkey: str, tool: str, results: Sequence[Result], tables: Mapping[str, Table], shared: bool
) -> bytes:
    """The page."""
    period = span["period"]
    parts = [
        f"<h1>Evidence from the ledger {_text(span['ledger'])}</h1>",
        f'<p class="dim">{_text(period["from"])} up to {_text(period["to"])}</p>',
        _note("Self-attested: no witness signed any checkpoint. Check the package with a key and a checkpoint of your own."),
        _note("Not covered: gateway and clients shared a machine, so the book was within reach of its subjects.")
        if shared
        else "",
        _facts(span, vkey, tool),
        _section("Controls", f"<p>{_text(OPINION)}</p>{_controls(results)}"),
        _section("Populations", _counts(tables)),
        *(_listed(tables[name], columns) for name, columns in SHOWN.items()),
        _section("What this does not prove", "<ul>" + "".join(f"<li>{_text(one)}</li>" for one in NOT_PROVED) + "</ul>"),
    ]
    head = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>Evidence: {_text(span["ledger"])}</title>'
        f"<style>{STYLE}</style></head><body><main>\n"
    )
    return (head + "\n".join(part for part in parts if part) + "\n</main></body></html>\n").encode()


def _text(value: object) -> str:
    return escape(printable(str(value)), quote=True)


def _note(text: str) -> str:
    return f'<p class="note">{_text(text)}</p>'


def _section(title: str, inner: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{inner}</section>"


def _facts(span: Mapping[str, Any], vkey: str, tool: str) -> str:
    pairs = (
        ("Ledger", span["ledger"]),
        ("Verifier key", vkey),
        *((f"Log {one['origin']}", f"entries {one['first']} to {one['last']}, root {one['root']}") for one in span["logs"]),
        ("Made by", tool),
    )
    return "<dl>" + "".join(f'<dt>{_text(name)}</dt><dd class="mono">{_text(value)}</dd>' for name, value in pairs) + "</dl>"


def _controls(results: Sequence[Result]) -> str:
    rows = [one for one in results if one.test]
    none = sorted({one.criterion for one in results if not one.test}, key=[one.criterion for one in results].index)
    body = "".join(map(_control, rows))
    head = _head(("Criterion", "Control", "Test", "Cases", "Result"))
    left = f'<p class="dim">Not covered, since a gateway’s book says nothing about them: {_text(", ".join(none))}.</p>'
    return f'<div class="wide" tabindex="0"><table>{head}<tbody>{body}</tbody></table></div>{left}'


def _control(one: Result) -> str:
    beside = f"the tests saw: {one.found}" if one.reason else "; ".join(one.deviations[:5])
    more = f'<br><span class="dim">{_text(beside)}</span>' if beside else ""
    return (
        f'<tr><td><b>{_text(one.criterion)}</b><br><span class="dim">{_text(one.words)}; {_text(one.strength)}</span></td>'
        f"<td>{_text(one.control)}</td><td>{_text(one.test)}</td>"
        f'<td class="number">{one.examined:,}</td>'
        f'<td><span class="result {_text(one.result)}">{_text(one.result)}</span>{more}</td></tr>'
    )


def _head(names: Sequence[str]) -> str:
    return "<thead><tr>" + "".join(map(_heading, names)) + "</tr></thead>"


def _heading(name: str) -> str:
    return f'<th scope="col"{_class(name.lower())}>{_text(name.replace("_", " "))}</th>'


def _counts(tables: Mapping[str, Table]) -> str:
    rows = "".join(
        f'<tr><td>{_text(one.title)}</td><td class="number">{one.count:,}</td><td class="mono">{_text(one.file)}</td></tr>'
        for one in tables.values()
    )
    return f'<div class="wide" tabindex="0"><table>{_head(("List", "Rows", "File"))}<tbody>{rows}</tbody></table></div>'


def _listed(table: Table, columns: Sequence[str]) -> str:
    if not table.rows:
        return _section(table.title, "<p>None.</p>")
    rows = "".join(_row(row, columns) for row in table.first(MOST))
    left = table.count - MOST
    more = f'<p class="dim">{left:,} more in {_text(table.file)}.</p>' if left > 0 else ""
    return _section(
        table.title, f'<div class="wide" tabindex="0"><table>{_head(columns)}<tbody>{rows}</tbody></table></div>{more}'
    )


def _row(row: Mapping[str, str], columns: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<td{_class(name)}>{_text(row[name])}</td>" for name in columns) + "</tr>"


def _class(name: str) -> str:
    kind = "mono" if name in MONO else "number" if name in NUMBERS else ""
    return f' class="{kind}"' if kind else ""
