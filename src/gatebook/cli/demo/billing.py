"""The demo's internal API: customers and their cards, a small IAM, an event stream and MCP tools. Not for production.

It asks for a key in ``X-Api-Key`` and knows nothing of Gatebook. What reached it, it writes down, one JSON line each, so that
the demo can show what did not. ``python -m gatebook.cli.demo.billing PORT KEY-FILE LOG`` serves it on loopback.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

CUSTOMERS: tuple[dict[str, Any], ...] = (
    {"id": 1, "name": "Ada Brown", "email": "ada.brown@example.com", "ssn": "536-22-8726", "card": "4111 1111 1111 1111"},
    {"id": 2, "name": "Ben Okafor", "email": "ben.okafor@example.org", "ssn": "457-55-5462", "card": "5500 0000 0000 0004"},
    {"id": 3, "name": "Chen Wei", "email": "chen.wei@example.net", "ssn": "219-09-9999", "card": "3400 0000 0000 009"},
)
USERS: tuple[dict[str, Any], ...] = (
    {"id": "ada", "roles": ["billing-viewer"]},
    {"id": "ops", "roles": ["billing-admin"]},
)
TOOLS: tuple[dict[str, Any], ...] = (
    {
        "name": "find_customer",
        "description": "Find a customer by name",
        "inputSchema": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "annotations": {"readOnlyHint": True},
    },
    {
        "name": "refund",
        "description": "Refund an amount to a customer's card",
        "inputSchema": {
            "type": "object",
            "properties": {"customer": {"type": "integer"}, "amount": {"type": "number"}},
            "required": ["customer", "amount"],
        },
    },
    {
        "name": "wipe_ledger",
        "description": "Delete every invoice",
        "inputSchema": {"type": "object", "properties": {}},
        "annotations": {"destructiveHint": True},
    },
)
_ID: dict[str, Any] = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


def openapi() -> dict[str, Any]:
    """The API's OpenAPI document, as its gateway is given it."""
    one: dict[str, Any] = {"parameters": [_ID]}

    def operation(name: str, tag: str) -> dict[str, Any]:
        return {"operationId": name, "tags": [tag], "responses": {"200": {"description": "done"}}}

    return {
        "openapi": "3.1.0",
        "info": {"title": "Billing", "version": "1"},
        "paths": {
            "/customers": {"get": operation("listCustomers", "customers"), "post": operation("addCustomer", "customers")},
            "/customers/{id}": one
            | {
                "get": operation("getCustomer", "customers"),
                "patch": operation("changeCustomer", "customers"),
                "delete": operation("deleteCustomer", "customers"),
            },
            "/iam/users": {"get": operation("listUsers", "iam"), "post": operation("addUser", "iam")},
            "/iam/users/{id}/roles": one | {"put": operation("setRoles", "iam")},
            "/events": {"get": operation("watchEvents", "events")},
            "/export": {"get": operation("exportCustomers", "customers")},
            "/mcp": {"post": operation("mcp", "mcp"), "get": operation("mcpStream", "mcp")},
        },
    }


class Billing:
    """The API's state, and what reached it."""

    def __init__(self, key: str, log: Path) -> None:
        self._key, self._log = key, log
        self.customers = deepcopy(list(CUSTOMERS))
        self.users = deepcopy(list(USERS))

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = [
            ("/customers", self.list_customers, "GET"),
            ("/customers", self.add_customer, "POST"),
            ("/customers/{id}", self.get_customer, "GET"),
            ("/customers/{id}", self.change_customer, "PATCH"),
            ("/customers/{id}", self.delete_customer, "DELETE"),
            ("/iam/users", self.list_users, "GET"),
            ("/iam/users/{id}/roles", self.set_roles, "PUT"),
            ("/events", self.events, "GET"),
            ("/export", self.export, "GET"),
            ("/mcp", self.mcp, "POST"),
        ]
        return Starlette(routes=[Route(path, self._known(call), methods=[method]) for path, call, method in routes])

    def _known(self, call: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def checked(request: Request) -> Response:
            body = await request.body()
            line: dict[str, Any] = {"method": request.method, "path": request.url.path, "body": body.decode(errors="replace")}
            line["fields"] = {name: value for name, value in request.headers.items() if name != "x-api-key"}
            with self._log.open("a") as file:
                file.write(json.dumps(line) + "\n")
            if not hmac.compare_digest(request.headers.get("x-api-key", "").encode(), self._key.encode()):
                return JSONResponse({"error": "no key"}, 401)
            return await call(request)

        return checked

    def _customer(self, request: Request) -> dict[str, Any] | None:
        return next((one for one in self.customers if str(one["id"]) == request.path_params["id"]), None)

    async def list_customers(self, _request: Request) -> Response:
        """All of them."""
        return JSONResponse({"customers": self.customers})

    async def get_customer(self, request: Request) -> Response:
        """One of them."""
        found = self._customer(request)
        return JSONResponse(found) if found else JSONResponse({"error": "no such customer"}, 404)

    async def add_customer(self, request: Request) -> Response:
        """Another one."""
        made = {**await request.json(), "id": max(one["id"] for one in self.customers) + 1}
        self.customers.append(made)
        return JSONResponse(made, 201)

    async def change_customer(self, request: Request) -> Response:
        """Some fields of one."""
        found = self._customer(request)
        if found is None:
            return JSONResponse({"error": "no such customer"}, 404)
        found.update(await request.json())
        return JSONResponse(found)

    async def delete_customer(self, request: Request) -> Response:
        """One less."""
        self.customers = [one for one in self.customers if str(one["id"]) != request.path_params["id"]]
        return Response(status_code=204)

    async def list_users(self, _request: Request) -> Response:
        """Who may do what."""
        return JSONResponse({"users": self.users})

    async def set_roles(self, request: Request) -> Response:
        """What one may do from now on."""
        found = next((one for one in self.users if one["id"] == request.path_params["id"]), None)
        if found is None:
            return JSONResponse({"error": "no such user"}, 404)
        found["roles"] = (await request.json())["roles"]
        return JSONResponse(found)

    async def events(self, request: Request) -> Response:
        """What happens, as it happens: as many events as are asked for."""

        async def said() -> AsyncIterator[str]:
            for number in range(int(request.query_params.get("n", "3"))):
                event = {"event": "payment", "customer": self.customers[number % len(self.customers)]}
                yield f"id: {number}\nevent: payment\ndata: {json.dumps(event)}\n\n"
                await asyncio.sleep(0.05)

        return StreamingResponse(said(), media_type="text/event-stream")

    async def export(self, _request: Request) -> Response:
        """All customers as CSV."""
        lines = ["id,name,email,ssn,card"]
        lines += [",".join(str(one.get(name, "")) for name in ("id", "name", "email", "ssn", "card")) for one in self.customers]
        return Response("\n".join(lines) + "\n", media_type="text/csv")

    # MCP ----------------------------------------------------------------------------------------------------------------

    async def mcp(self, request: Request) -> Response:
        """MCP over HTTP, as much of it as three tools need."""
        asked = await request.json()
        if "id" not in asked:
            return Response(status_code=202)
        result = self._mcp(asked.get("method"), asked.get("params") or {})
        if result is None:
            error = {"code": -32601, "message": "no such method"}
            return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], "error": error})
        return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], "result": result})

    def _mcp(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        match method:
            case "initialize":
                served = {"name": "billing", "version": "1"}
                version = params.get("protocolVersion", "2025-06-18")
                return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": served}
            case "ping":
                return {}
            case "tools/list":
                return {"tools": list(TOOLS)}
            case "tools/call":
                said = self._tool(str(params.get("name")), params.get("arguments") or {})
                return {"content": [{"type": "text", "text": said}], "isError": False}
            case _:
                return None

    def _tool(self, name: str, arguments: dict[str, Any]) -> str:
        match name:
            case "find_customer":
                wanted = str(arguments.get("name", "")).lower()
                return json.dumps([one for one in self.customers if wanted in one["name"].lower()])
            case "refund":
                return f"refunded {arguments.get('amount')} to customer {arguments.get('customer')}"
            case "wipe_ledger":
                return "every invoice is gone"
            case _:
                return "no such tool"


def main() -> None:
    """Serve until ended."""
    port, key_file, log = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    billing = Billing(key_file.read_text().strip(), log)
    uvicorn.run(billing.app(), host="127.0.0.1", port=port, log_level="warning", access_log=False, timeout_keep_alive=60)


if __name__ == "__main__":
    main()
