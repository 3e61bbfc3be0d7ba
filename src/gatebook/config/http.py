"""What the configuration says of what requests to an HTTP target mean: routes, facts, GraphQL, MCP, its OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo, field_validator

from gatebook.config.values import Context, File, Items, Part, Some, Text, expected
from gatebook.errors import ConfigError
from gatebook.model import Reach
from gatebook.protocols.http.bodyfacts import JsonPath
from gatebook.protocols.http.routes import Pattern, Routes, read_document

DOCUMENT_BYTES = 32 * 1024 * 1024  # the largest public ones have a third of that
BODY_BYTES_MAX = 16 * 1024 * 1024  # each request in flight may keep as much

_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
_FACT = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TOOL = re.compile(r"[!-~]{1,200}")


def _read_by(parse: Callable[[str], Any]) -> Callable[[object], Any]:
    def read(value: object) -> Any:
        try:
            return parse(value if isinstance(value, str) else "")
        except ValueError as error:
            raise expected(str(error)) from None

    return read


def _method(name: str) -> str:
    if not _METHOD.fullmatch(name):
        raise expected("a method in capitals, as POST, or WEBSOCKET or GRPC")
    return name


def _fact(name: str) -> str:
    if not _FACT.fullmatch(name):
        raise expected("a name of small letters, digits and _, at most 63, beginning with a letter")
    return name


def _plain_path(text: str) -> str:
    pattern = Pattern.parse(text)
    if any(segment.startswith("*") for segment in pattern.segments):
        raise ValueError("a path without * and {…}, as /graphql")
    return "/" + "/".join(pattern.segments)


def _tool(name: str) -> str:
    if not _TOOL.fullmatch(name):
        raise expected("the name of a tool, as search_tickets")
    return name


Route = Annotated[Pattern, PlainValidator(_read_by(Pattern.parse))]
Methods = Items[Annotated[Text, AfterValidator(_method)]]
PlainPath = Annotated[str, PlainValidator(_read_by(_plain_path))]
Tools = Items[Annotated[str, AfterValidator(_tool)]]


class RouteConfig(Part):
    """How far requests to a route go."""

    route: Route = Field(description="a path, with * for one segment and ** for all that follow")
    methods: Methods = Field(default=(), description="methods, WEBSOCKET or GRPC; any unless named")
    reach: Annotated[Reach, Field(strict=False)] = Field(description="read, write, admin or unknown")

    @field_validator("reach", mode="after")
    @classmethod
    def _says_something(cls, reach: Reach, info: ValidationInfo) -> Reach:
        if reach is Reach.READ and not info.data.get("methods", "?"):
            raise expected("methods beside read: without them a route can only be said to go further")
        return reach


class FactConfig(Part):
    """Something in a request's content that rules ask about."""

    name: Annotated[Text, AfterValidator(_fact)] = Field(description="the name that rules know it by")
    path: Annotated[JsonPath, PlainValidator(_read_by(JsonPath.parse))] = Field(description="where it stands, as $.amount")
    over: int | None = Field(default=None, description="a number: the fact is its bare name, where the value is over it")
    present: bool = Field(default=False, description="true: the fact is its bare name, where there is a value")
    route: Route | None = Field(default=None, description="the requests to look in, by their path; all unless named")
    methods: Methods = Field(default=(), description="the requests to look in, by their method; all unless named")

    @field_validator("present", mode="after")
    @classmethod
    def _one(cls, present: bool, info: ValidationInfo) -> bool:
        if present and info.data.get("over") is not None:
            raise expected("over or present, not both")
        return present


class GraphqlConfig(Part):
    """Where the target speaks GraphQL."""

    paths: Annotated[Items[PlainPath], Some] = Field(description="a list of paths, as /graphql")


class McpConfig(Part):
    """Where the target speaks MCP, and what its tools do."""

    paths: Annotated[Items[PlainPath], Some] = Field(description="a list of paths, as /mcp")
    reads: Tools = Field(default=(), description="the names of tools that only read")
    writes: Tools = Field(default=(), description="the names of tools that write, and no more", validate_default=True)

    @field_validator("writes", mode="after")
    @classmethod
    def _apart(cls, writes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if both := sorted(set(writes) & set(info.data.get("reads", ()))):
            raise expected(f"{both[0]} in reads or in writes, not in both")
        return writes


def _document(path: Path, info: ValidationInfo) -> Path:
    if Context.of(info).files:
        try:
            document(path)
        except ConfigError as error:
            raise expected(f"an OpenAPI document; {error.faults[0]}") from None
    return path


OpenApi = Annotated[File, AfterValidator(_document)]


def content_of(path: Path) -> bytes:
    """The bytes of an OpenAPI document. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(DOCUMENT_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}: expected an OpenAPI document"]) from None
    if len(data) > DOCUMENT_BYTES:
        raise ConfigError([f"{path}: more than {DOCUMENT_BYTES} bytes: expected an OpenAPI document"])
    return data


def document(path: Path) -> Routes:
    """The routes of an OpenAPI document. Raises ConfigError."""
    data = content_of(path)
    try:
        return _parsed(data)
    except ValueError as error:  # not UTF-8, among others
        raise ConfigError([f"{path}: {error}"]) from None


@lru_cache(maxsize=8)  # a configuration is read several times; its documents can take seconds
def _parsed(data: bytes) -> Routes:
    return read_document(data.decode("utf-8-sig"))
