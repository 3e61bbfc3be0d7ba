"""JSON in, and a no out: bodies of requests read strictly, refusals of approvals and grants as problem documents."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from gatebook.errors import AccessError, LedgerError
from gatebook.identity.strictjson import read_object
from gatebook.web.guard import read_body
from gatebook.web.problems import Problem, answer

T = TypeVar("T")
REASON_CHARACTERS = 500  # of a line that says why
STATUS = {
    "unknown": HTTPStatus.NOT_FOUND,
    "closed": HTTPStatus.CONFLICT,
    "forbidden": HTTPStatus.FORBIDDEN,
    "limit": HTTPStatus.TOO_MANY_REQUESTS,
    "wrong": HTTPStatus.BAD_REQUEST,
    "away": HTTPStatus.SERVICE_UNAVAILABLE,
}
_WORDS = {str: "a string", int: "a whole number", list: "a list"}


async def read_json(request: Request) -> dict[str, Any]:
    """The object in the body; raises Problem. Only JSON that says so: browsers send that across sites after asking first."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected JSON: Content-Type: application/json")
    try:
        return read_object(await read_body(request))
    except ValueError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"expected a JSON object: {error}") from None


def only(found: dict[str, Any], *names: str) -> None:
    """Raises Problem when there are other names: a misspelt one must not be overheard."""
    if unknown := sorted(found.keys() - set(names)):
        raise Problem(HTTPStatus.BAD_REQUEST, f"{unknown[0]!r} is not known here: expected {', '.join(names)}")


def take(found: dict[str, Any], name: str, kind: type[T], default: T | None = None) -> T:
    """The value of a name; raises Problem when it is missing without a default, or of another type."""
    value = found.get(name, default)
    if type(value) is not kind:
        raise Problem(HTTPStatus.BAD_REQUEST, f"{name}: expected {_WORDS[kind]}")
    if isinstance(value, str) and not _is_unicode(value):
        raise Problem(HTTPStatus.BAD_REQUEST, f"{name}: expected Unicode text")
    return value


def reason_of(request: Request) -> str:
    """Why somebody ends something, as the query says it: one line, which may be empty. Raises Problem."""
    reason: str = request.query_params.get("reason", "")
    if len(reason) > REASON_CHARACTERS or not reason.isprintable():
        text = f"reason: expected one line of at most {REASON_CHARACTERS} characters that can be seen"
        raise Problem(HTTPStatus.BAD_REQUEST, text)
    return reason


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


async def on_access_error(_request: Request, error: Exception) -> Response:
    """Handler for ``AccessError``."""
    if not isinstance(error, AccessError):
        raise error
    return answer(Problem(STATUS[error.fault], str(error)))


async def on_ledger_error(_request: Request, error: Exception) -> Response:
    """Handler for ``LedgerError``: nothing was done."""
    if not isinstance(error, LedgerError):
        raise error
    return answer(Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the ledger cannot be written, so nothing was done"))
