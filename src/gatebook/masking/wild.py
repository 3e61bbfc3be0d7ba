"""Names with stars in them, as rules on objects of Kubernetes have: ``*password*``, ``DB_*``."""

from __future__ import annotations

from dataclasses import dataclass

STARS = 8  # of one name: each is looked for
_MANAGED = "f:"  # how managedFields spell the names of fields; they hold no values


@dataclass(frozen=True)
class Wild:
    """Names that are alike but for what stands where the stars are, without regard to case.

    ``beside`` means the member ``value`` beside a member ``name`` that says such a name, as environments have it, and no
    member that is called so.
    """

    text: str
    beside: bool = False

    def __post_init__(self) -> None:
        if self.text.count("*") > STARS or "**" in self.text:
            raise ValueError(f"{self.text!r}: expected at most {STARS} stars, none beside another")

    def matches(self, name: str) -> bool:
        """Whether this is such a name. Takes time in proportion to its length."""
        name, pieces = name.lower(), self.text.lower().split("*")
        if name.startswith(_MANAGED) and not self.beside:
            return False
        if len(pieces) == 1:
            return name == pieces[0]
        first, *between, last = pieces
        if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
            return False
        at, end = len(first), len(name) - len(last)
        for piece in between:
            found = name.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True
