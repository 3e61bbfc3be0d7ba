"""verify.pyz: the verifier as one file that Python runs, made of the same source that Gatebook itself uses, byte for byte."""

from __future__ import annotations

import importlib.resources
import io

from gatebook.evidence import archive

SOURCES = (
    "gatebook/__init__.py",
    "gatebook/ledger/__init__.py",
    "gatebook/ledger/verifier.py",
    "gatebook/evidence/__init__.py",
    *(
        f"gatebook/evidence/{name}.py"
        for name in (
            "archive",
            "controls",
            "coverage",
            "criteria",
            "entries",
            "happenings",
            "package",
            "populations",
            "report",
            "tables",
            "verification",
        )
    ),
)
MAIN = b"""import sys

from gatebook.evidence.verification import main

sys.exit(main())
"""


def make() -> bytes:
    """The program; the same source gives the same bytes."""
    root = importlib.resources.files("gatebook")
    files = {name: root.joinpath(name.removeprefix("gatebook/")).read_bytes() for name in SOURCES}
    made = io.BytesIO()
    archive.write(made, files | {"__main__.py": MAIN})
    return made.getvalue()
