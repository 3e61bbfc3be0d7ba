"""Errors of the API as RFC 9457 problem documents; those of the token endpoint as RFC 6749 §5.2 wants them."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class Problem(Exception):  # noqa: N818 - RFC 9457's own word
    """An answer that ends a request: status, what was wrong, and headers to go with it."""

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


def answer(problem: Problem) -> Response:
    """The problem as ``application/problem+json``."""
    body = {"title": problem.status.phrase, "status": problem.status.value, "detail": problem.detail}
    return JSONResponse(body, problem.status, problem.headers, media_type="application/problem+json")


def oauth_error(code: str, description: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> Response:
    """An error of the token endpoint. RFC 6749 allows few characters in a description; others become spaces."""
    plain = "".join(c if " " <= c <= "~" and c not in '"\\' else " " for c in description)
    return JSONResponse({"error": code, "error_description": plain}, status)


async def on_problem(_request: Request, error: Exception) -> Response:
    """Handler for ``Problem``."""
    if not isinstance(error, Problem):
        raise error
    return answer(error)


async def on_http_exception(_request: Request, error: Exception) -> Response:
    """Handler for Starlette's own refusals: no such route, no such method."""
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    return answer(Problem(status, status.description or status.phrase, dict(error.headers or {})))
