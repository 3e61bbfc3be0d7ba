"""The one schema: what rules may speak of. Its text is ``schema.cedarschema``, read once, at import."""

from __future__ import annotations

from importlib.resources import files

from cedarpy import Schema

TEXT = files("gatebook.policy").joinpath("schema.cedarschema").read_text(encoding="utf-8")
SCHEMA = Schema.from_str(TEXT)
