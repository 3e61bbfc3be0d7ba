"""Which software is writing: its version, and a digest over its own files as they lie on this machine."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import gatebook

SOFTWARE = f"gatebook/{gatebook.__version__}"


def build_digest(folder: Path | None = None) -> str:
    """``sha256:…`` over ``<hex>  <path>`` lines of every file of the package except compiled caches, in order of paths."""
    folder = folder or Path(gatebook.__file__).parent
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    lines = (f"{sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n" for path in files)
    return f"sha256:{sha256(''.join(lines).encode()).hexdigest()}"
