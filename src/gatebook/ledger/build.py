"""Which software is writing: its version, and a digest over its own files as they lie on this machine."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import gatebook
from gatebook.protocols.postgres import native

SOFTWARE = f"gatebook/{gatebook.__version__}" + (f" native/{native.version()}" if native.crate else "")


def build_digest(folder: Path | None = None) -> str:
    """``sha256:…`` over ``<hex>  <path>`` lines of every file of the package except compiled caches, in order of paths.

    Of the running program, with the compiled twin's file behind them where that runs too.
    """
    places = [] if folder or native.crate is None else [Path(native.crate.__file__)]
    folder = folder or Path(gatebook.__file__).parent
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    named = [(path, path.relative_to(folder).as_posix()) for path in files] + [(path, path.name) for path in places]
    lines = (f"{sha256(path.read_bytes()).hexdigest()}  {name}\n" for path, name in named)
    return f"sha256:{sha256(''.join(lines).encode()).hexdigest()}"
