"""What a GraphQL request does: which operations, which fields, with which arguments. By GraphQL's own reference grammar.

A request names its operation in a document that may hold several; only that one runs, and only it counts. Fields go by their
own names, never by their aliases, and those of fragments are the operation's. What cannot be told is a doubt: a persisted query
that is only a digest, a document in the query and in the content at once, a name that is not one of the four of the
specification.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql.error import GraphQLError
from graphql.language import (
    BooleanValueNode,
    DocumentNode,
    EnumValueNode,
    FieldNode,
    FloatValueNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    ValueNode,
    VariableNode,
    parse,
)

from gatebook.protocols.http.contents import ABSENT, Content, read_json, single_values
from gatebook.protocols.http.doubts import Doubts, quoted

TOKENS = 10_000  # of one document
COMMENTS = 1_000
CHARACTERS = 256 * 1024
DEPTH = 50  # of fields in fields
BATCH = 50  # operations in one request
SELECTIONS = 20_000  # that are looked at, fragments where they are spread
ARGUMENTS = 500  # that are told of one operation
ARGUMENT_CHARACTERS = 1_000
RAW = "application/graphql"

_KEYS = frozenset({"query", "operationName", "variables", "extensions"})


@dataclass(slots=True)
class Operation:
    """One operation that runs. ``fields`` are those at its top, ``all_fields`` those at any depth."""

    kind: str  # query, mutation or subscription
    name: str = ""
    fields: set[str] = field(default_factory=set)
    all_fields: set[str] = field(default_factory=set)
    arguments: set[str] = field(default_factory=set)  # "field.argument=value", where the value is a single one
    aliases: dict[str, set[str]] = field(default_factory=dict)  # the fields that stand under another name in the answer

    @property
    def introspects(self) -> bool:
        """Whether it asks for the schema."""
        return not self.all_fields.isdisjoint({"__schema", "__type"})

    @property
    def shown(self) -> str:
        """It in a few words, without values."""
        names = ", ".join(sorted(self.fields)[:10]) + (", …" if len(self.fields) > 10 else "")
        return f"{self.kind}{' ' if self.name else ''}{self.name} {{ {names} }}"


def operations(
    method: str, query: tuple[tuple[str, str], ...], content: Content, body: bytes | None, doubts: Doubts
) -> tuple[Operation, ...]:
    """What a request to a GraphQL path does; none where that cannot be told, with a doubt then."""
    found = tuple(_requests(method, query, content, body, doubts))
    if len(found) > BATCH:
        doubts.unsure(f"its batch has more than {BATCH} GraphQL operations")
        return ()
    read = [_operation(one, doubts) for one in found]
    if not read and not doubts.found:
        doubts.wrong("it has no GraphQL document")
    return tuple(one for one in read if one is not None)


def only_opens(query: tuple[tuple[str, str], ...], doubts: Doubts) -> None:
    """Whether a request that opens a WebSocket asks for nothing itself: a server that knows none may answer it as a GET."""
    if _from_query(query, doubts):
        doubts.unsure("it opens a WebSocket, and has a GraphQL request in its query")


def _requests(
    method: str, query: tuple[tuple[str, str], ...], content: Content, body: bytes | None, doubts: Doubts
) -> Iterator[Mapping[str, Any]]:
    """Each request in it, as an object of the specification's four names."""
    asked = _from_query(query, doubts)
    if method in ("GET", "HEAD"):  # which many servers treat alike
        if content.size:
            doubts.unsure("a GraphQL request by GET has content")
        yield asked
        return
    if asked:
        doubts.unsure("its GraphQL request stands in its query and in its content")
        return
    if method != "POST":
        doubts.unsure(f"a GraphQL request by {quoted(method)}")
    elif not content.read:
        doubts.unsure("its GraphQL request was not read")
    elif content.media_type == RAW and body:
        try:
            yield {"query": body.decode()}
        except UnicodeDecodeError:
            doubts.wrong("its GraphQL document is not UTF-8")
    elif not content.is_json:
        doubts.unsure(f"its GraphQL request is {quoted(content.media_type) if content.media_type else 'of no type'}, not JSON")
    elif content.value is not ABSENT:
        yield from _from_json(content.value, doubts)


def _from_query(query: tuple[tuple[str, str], ...], doubts: Doubts) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in query:
        if name.casefold() not in {key.casefold() for key in _KEYS}:
            continue
        if name in found or name not in _KEYS:
            doubts.unsure(f"its query has {quoted(name)} twice, or in other letters")
        found[name] = value
    for name in ("variables", "extensions"):
        if found.get(name):
            found[name] = read_json(found[name].encode("utf-8", "surrogatepass"), doubts)
    return found


def _from_json(value: Any, doubts: Doubts) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list) and not value:
        doubts.wrong("its batch is empty")
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, dict):
            doubts.wrong("its GraphQL request is no object")
            return
        if strange := sorted(one.keys() - _KEYS):
            doubts.unsure(f"its GraphQL request has {quoted(strange[0])}, which is not one of its names")
        yield one


def _operation(request: Mapping[str, Any], doubts: Doubts) -> Operation | None:
    text, name = request.get("query"), request.get("operationName")
    if not isinstance(text, str) or not text.strip():
        doubts.unsure("its GraphQL document is not sent with it, as with persisted queries")
        return None
    if not isinstance(name, str | None):
        doubts.wrong("its operationName is no text")
        return None
    if not _digest_fits(request.get("extensions"), text):
        doubts.unsure("its GraphQL document is not the one that its digest names")
    document = _parsed(text, doubts)
    if document is None:
        return None
    return _chosen(document, name or "", request.get("variables"), doubts)


def _digest_fits(extensions: Any, text: str) -> bool:
    """Whether the digest of a persisted query, where there is one, is this document's: else another would run."""
    persisted = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
    if persisted is None:
        return True
    digest = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
    return digest == hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _parsed(text: str, doubts: Doubts) -> DocumentNode | None:
    try:
        return parse(text, no_location=True, max_lexical_tokens=TOKENS, max_comments=COMMENTS, max_source_length=CHARACTERS)
    except GraphQLError as error:
        doubts.wrong(f"its GraphQL document cannot be read: {error.message[:120]}")
    except (RecursionError, ValueError):
        doubts.wrong("its GraphQL document cannot be read")
    return None


def _chosen(document: DocumentNode, name: str, variables: Any, doubts: Doubts) -> Operation | None:
    """The operation that runs."""
    fragments: dict[str, FragmentDefinitionNode] = {}
    found: list[OperationDefinitionNode] = []
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            found.append(definition)
        elif isinstance(definition, FragmentDefinitionNode) and definition.name.value not in fragments:
            fragments[definition.name.value] = definition
        else:
            doubts.wrong("its GraphQL document has a definition that does not run, or a fragment twice")
    names = [one.name.value if one.name else "" for one in found]
    if len(set(names)) != len(names) or ("" in names and len(names) > 1):
        doubts.wrong("its GraphQL document has two operations of one name, or one without beside others")
    fitting = [one for one, own in zip(found, names, strict=True) if own == name or (not name and len(found) == 1)]
    if len(fitting) != 1:
        doubts.wrong("which operation of its GraphQL document runs is not said")
        return None
    return _Reader(fragments, variables if isinstance(variables, dict) else {}, doubts).read(fitting[0])


class _Reader:
    """Follows one operation, fragments included, up to a number of selections."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode], variables: dict[str, Any], doubts: Doubts) -> None:
        self._fragments, self._variables, self._doubts = fragments, variables, doubts
        self._left = SELECTIONS
        self._seen: set[tuple[str, bool]] = set()

    def read(self, node: OperationDefinitionNode) -> Operation:
        """The operation with all its fields."""
        defaults = {
            one.variable.name.value: self._value(one.default_value)
            for one in node.variable_definitions or ()
            if one.default_value is not None
        }
        self._variables = {**defaults, **self._variables}
        operation = Operation(node.operation.value, node.name.value if node.name else "")
        todo: list[tuple[SelectionSetNode, int]] = [(node.selection_set, 1)]
        while todo:
            selections, level = todo.pop()
            if level > DEPTH:
                self._doubts.unsure(f"its GraphQL fields are deeper than {DEPTH}")
                break
            self._left -= len(selections.selections)
            if self._left < 0:
                self._doubts.unsure(f"its GraphQL operation has more than {SELECTIONS} selections")
                break
            todo += [inner for one in selections.selections for inner in self._follow(one, level, operation)]
        return operation

    def _follow(self, node: Any, level: int, operation: Operation) -> Iterator[tuple[SelectionSetNode, int]]:
        match node:
            case FieldNode():
                name = node.name.value
                operation.all_fields.add(name)
                if level == 1:
                    operation.fields.add(name)
                if node.alias is not None:
                    operation.aliases.setdefault(node.alias.value, set()).add(name)
                self._argue(name, node, operation)
                if node.selection_set:
                    yield node.selection_set, level + 1
            case InlineFragmentNode():
                yield node.selection_set, level
            case FragmentSpreadNode():
                name, top = node.name.value, level == 1
                fragment = self._fragments.get(name)
                if fragment is None:
                    self._doubts.wrong(f"its GraphQL document has no fragment {quoted(name)}")
                elif (name, top) not in self._seen:
                    self._seen.add((name, top))
                    yield fragment.selection_set, level
            case _:
                self._doubts.unsure("its GraphQL document has a selection that is not known")

    def _argue(self, name: str, node: FieldNode, operation: Operation) -> None:
        for argument in node.arguments or ():
            for path, value in single_values(f"{name}.{argument.name.value}", self._value(argument.value), ARGUMENTS):
                if len(operation.arguments) >= ARGUMENTS:
                    self._doubts.unsure(f"its GraphQL operation has more than {ARGUMENTS} arguments")
                    return
                if len(value) <= ARGUMENT_CHARACTERS:
                    operation.arguments.add(f"{path}={value}")

    def _value(self, node: ValueNode | None) -> Any:
        """A value as JSON has it, variables in their places."""
        match node:
            case VariableNode():
                return self._variables.get(node.name.value)
            case IntValueNode() | FloatValueNode():
                return _number(node.value)
            case StringValueNode() | EnumValueNode() | BooleanValueNode():
                return node.value
            case ListValueNode():
                return [self._value(one) for one in node.values]
            case ObjectValueNode():
                return {one.name.value: self._value(one.value) for one in node.fields}
        return None


def _number(text: str) -> int | float | str:
    try:
        return float(text) if any(one in text for one in ".eE") else int(text)
    except ValueError:  # more digits than Python reads
        return text
