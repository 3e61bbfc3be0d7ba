"""A request made ready: what is asked of the policy, and what the target is told in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gatebook.model import Action, Deed
from gatebook.protocols.http import grpc, mcp
from gatebook.protocols.http.covering.heads import towards_target
from gatebook.protocols.http.covering.plan import Plan
from gatebook.protocols.http.covering.resolving import Resolved, resolve
from gatebook.protocols.http.dialect import Dialect, Inquiry, Opening
from gatebook.protocols.http.forwarding import forwardable, forwarded, without, without_owned
from gatebook.protocols.http.known import Meant
from gatebook.protocols.http.message import Fields, Request
from gatebook.protocols.http.reading import Reading
from gatebook.protocols.http.terms import Terms
from gatebook.protocols.relay import ANY_FIELD, Ask

# What differs each time the same is sent again, and changes nothing of what it means.
_PASSING = frozenset(
    b"accept-encoding content-length date dnt grpc-timeout grpc-trace-bin priority sec-websocket-key traceparent "
    b"user-agent".split()
)
_FIELDS = frozenset({ANY_FIELD})
_OF_VALUES = ("parameters", "body", "arguments", "size")
TELLS = "a token in it would change what the request does, not only a value; write out what you mean there"
_UNREAD = "its content was not read whole, so nobody could say yes to exactly this"


def asked(request: Request, content: bytes | None, terms: Terms, seq: int, inquiry: Inquiry | None = None) -> tuple[Ask, Meant]:
    """The action of a request, and what it was read as; ``content`` is None where it was not.

    What rests on an ``inquiry`` may be something else the next time. Rules are asked about the values that the target gets; all
    that is written down or shown has the tokens.
    """
    under = terms.dialect, terms.covering, terms.injected()
    meant = terms.known.find(request, content, under) if inquiry is None else None
    if meant is None:
        meant = _read(request, content, terms, under, inquiry)
        if inquiry is None:
            terms.known.keep(request, content, meant)
    action = Action(
        session=terms.session,
        seq=seq,
        deeds=meant.deeds,
        text=meant.text,
        parameters=(content,) if content else (),
    )
    return Ask(action, _FIELDS, meant.reading.shown, fault=meant.fault, seen=meant.seen, bound=meant.bound), meant


def _read(request: Request, content: bytes | None, terms: Terms, under: tuple[object, ...], inquiry: Inquiry | None) -> Meant:
    plan = terms.dialect.plan(request, terms.covering, terms.covering.possible, terms.injected().needles)
    reading = terms.dialect.read(request, content) if inquiry is None else inquiry.reading()
    resolved = (
        resolve(terms.dialect.meant(request), content, plan, within=terms.dialect.strict) if content is not None else None
    )
    deeds = reading.deeds
    if resolved is not None and resolved.values:
        deeds, resolved = _with_values(reading, resolved, terms.dialect)
    fault = reading.fault or (_UNREAD if content is None and not request.upgrade else "")
    fault = fault or (resolved.refusal if resolved is not None else "")
    told = terms.dialect.meant(replace(request, fields=_meant(request)))
    seen = terms.dialect.seen(told, content, reading, plan)
    exactly = mcp.numberless(content) if content and reading.calls else None
    bound: tuple[bytes, ...] | None = None if exactly is None else (exactly,)
    if inquiry is not None:
        bound = inquiry.bound()
    return Meant(reading, deeds, resolved, terms.dialect.exact(request), fault, seen, plan, under, bound)


def _with_values(reading: Reading, resolved: Resolved, dialect: Dialect) -> tuple[tuple[Deed, ...], Resolved]:
    """The deeds with the values that tokens stand for, in those facts alone that are never written down.

    A token that stands for more than a value, as for the name of a tool, would have the book say something else than was done.
    """
    given = reading.deeds
    meant = dialect.read(replace(reading.request, target=resolved.target), resolved.content).deeds
    if not _alike(given, meant):
        return given, Resolved(reading.request.target, reading.body or b"", refusal=TELLS)
    return tuple(
        replace(one, facts={**one.facts, **{name: other.facts[name] for name in _OF_VALUES if name in other.facts}})
        for one, other in zip(given, meant, strict=True)
    ), resolved


def _alike(given: Sequence[Deed], meant: Sequence[Deed]) -> bool:
    """Whether they are the same deeds on the same things, but for values."""
    return len(given) == len(meant) and all(
        (one.verb, one.reach, one.resource) == (other.verb, other.reach, other.resource)
        and all(one.facts[name] == other.facts.get(name) for name in one.facts if name not in _OF_VALUES)
        for one, other in zip(given, meant, strict=True)
    )


def exact(request: Request, passing: frozenset[bytes] = frozenset()) -> str:
    """A request's head as a yes is bound to it: what goes on of it but fields that are ``passing``, and for which host.

    Fields of one name keep their order: servers go by the first, or by the last.
    """
    upgrade = f" ({request.upgrade})" if request.upgrade else ""
    fields = sorted(_meant(request), key=lambda field: field[0])
    lines = [f"{request.method} {request.target}{upgrade}", f"host {request.authority}"]
    lines += [
        f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in fields if name not in (_PASSING | passing)
    ]
    return "\n".join(lines)


def _meant(request: Request) -> Fields:
    """What of a client's fields goes on at all: those that a Connection field has dropped are nobody's."""
    return without_owned(forwardable(request.fields))


def outgoing(request: Request, terms: Terms, plan: Plan, opening: Opening | None = None, *, plain: bool = False) -> Request:
    """The head as the target gets it: without what is the gateway's to say, with its credential in the client's place.

    Where its answer is looked through, it proves nothing of its content. It may ask for a part where no rule covers fields: a
    part of what passes unread passes; where detectors would have to look through it, the whole is asked for instead (relay).
    With ``plain`` it asks for an answer in no coding. ``opening`` is the upgrade that it asks for.
    """
    injected = terms.injected().fields
    fields = without(without_owned(forwardable(request.fields)), b"authorization", *(name for name, _ in injected))
    fields = terms.dialect.kept(request, fields, plan)
    if grpc.spoken(request.fields):
        fields = _of_call(fields, plan)
    elif plain:
        fields = (*without(fields, b"accept-encoding"), (b"accept-encoding", b"identity"))
    elif plan.reads:
        fields = towards_target(fields, request.method, parts=not plan.rules_fields)
    host = terms.origins[0].partition("://")[2] if terms.shared else request.authority
    fields = forwarded(fields, client=terms.client_address, scheme=request.scheme, authority=host)
    if terms.shared:
        fields = (*fields, (b"x-forwarded-prefix", terms.base.encode()))
    fields = (*fields, (b"gatebook-session", terms.session.encode()), *terms.introduces, *injected)
    if opening is not None:
        fields = opening.offered(fields)
    return replace(request, fields=fields)


def _of_call(fields: Fields, plan: Plan) -> Fields:
    """A call of gRPC: its answer ends with trailers, and comes whole and in no coding where its bytes are looked at."""
    if plan.reads:
        fields = (*without(towards_target(fields, parts=True), b"grpc-accept-encoding"), (b"grpc-accept-encoding", b"identity"))
    return (*without(fields, b"te", b"accept-encoding"), (b"te", b"trailers"))


def whole_instead(told: Request) -> Request | None:
    """The same request for all of a content, where it asks for a part and can be asked twice."""
    if told.method not in ("GET", "HEAD") or told.get(b"range") is None:
        return None
    return replace(told, fields=without(told.fields, b"range", b"if-range"))


def stated(request: Request) -> int | None:
    """The length that the client says its content has; the codec has seen that there is one at most."""
    found = request.get(b"content-length")
    return int(found) if found is not None else None
