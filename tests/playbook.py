"""A playbook for relays: tell it a signal, say which effects must follow. When they do not, it fails with the story so far.

    play = Playbook(relay)
    play.tell(FromClient(startup)).expect(ToClient(ask_for_password))
    play.tell(FromClient(password)).expect(like(Prove, target="shop"))
    play.tell(Ended(Side.CLIENT, "gone")).expect(HangUp)

An effect is expected whole, by its type, or by some of its fields (``like``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gatebook.protocols.relay import Effect, Relay, Signal


@dataclass(frozen=True, slots=True)
class Like:
    """An effect of a type, of which only these fields count."""

    kind: type
    fields: dict[str, Any]

    def __repr__(self) -> str:
        return f"{self.kind.__name__}({''.join(f'{name}={value!r}, ' for name, value in self.fields.items())}…)"


Expected: TypeAlias = "Effect | type | Like"


def like(kind: type, **fields: Any) -> Like:
    return Like(kind, fields)


@dataclass(slots=True)
class Playbook:
    """One relay and everything it was told; each step is checked when ``expect`` is called, and none may be left out."""

    relay: Relay
    story: list[str] = field(default_factory=list)
    pending: list[Effect] | None = None

    def tell(self, signal: Signal) -> Playbook:
        if self.pending is not None:
            self.fail(f"a step was not looked at: {self.pending}")
        self.story.append(f"tell   {_short(signal)}")
        self.pending = self.relay.feed(signal)
        self.story += [f"  came {_short(effect)}" for effect in self.pending]
        return self

    def expect(self, *expected: Expected) -> list[Effect]:
        came, self.pending = self.pending or [], None
        fits = len(came) == len(expected) and all(map(_fits, came, expected))
        if not fits:
            self.fail("expected\n" + "\n".join(f"       {_named(one)}" for one in expected or ("nothing",)))
        return came

    def fail(self, why: str) -> None:
        story = "\n".join(f"{number:3} {line}" for number, line in enumerate(self.story, 1))
        raise AssertionError(f"the story so far:\n{story}\n{why}")


def _fits(effect: Effect, expected: Expected) -> bool:
    match expected:
        case Like(kind, fields):
            return isinstance(effect, kind) and all(getattr(effect, name) == value for name, value in fields.items())
        case type():
            return isinstance(effect, expected)
        case _:
            return effect == expected


def _named(expected: object) -> str:
    return expected.__name__ if isinstance(expected, type) else _short(expected)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
