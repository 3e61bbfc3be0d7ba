"""An internal web application of tests: pages, JSON, forms, events and a WebSocket. ``seen`` is what reached it.

Run as a process: ``python -m tests.testbed.website PORT LOG``.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from gatebook.cli.demo.processes import answers, free_port, wait_until

PAGE = """<!doctype html><html lang="en"><title>Customers</title><h1>Customers</h1>
<p id="who">Ada Brown, ada.brown@example.com, 536-22-8726</p>
<form method="post" action="/orders"><input name="item" value="lamp"><button id="order">Order</button></form>
<form method="post" action="/iam/roles"><input name="role" value="admin"><button id="role">Make admin</button></form>
</html>"""
CUSTOMER = {"name": "Ada Brown", "email": "ada.brown@example.com", "ssn": "536-22-8726"}


class Website:
    """It, as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.port, self.log = free_port(), folder / "website.log"
        self.log.write_text("")
        argv = [sys.executable, "-m", "tests.testbed.website", str(self.port), str(self.log)]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, cwd=Path(__file__).parents[2])
        assert wait_until(lambda: answers(self.port), 20)

    def seen(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def target(self, name: str = "crm", **more: Any) -> dict[str, Any]:
        """As the gateway's configuration has it."""
        base = {"name": name, "protocol": "http", "default_role": "app", "roles": {"app": {}}, "masks": ["pii"]}
        routes = [
            {"route": "/talk", "methods": ["WEBSOCKET"], "reach": "read"},
            {"route": "/unsubscribe", "methods": ["GET"], "reach": "write"},
        ]
        return base | {"origins": [f"http://127.0.0.1:{self.port}"], "routes": routes} | more

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def _app(log: Path) -> Starlette:
    def note(method: str, path: str, query: str, fields: dict[str, str], body: str) -> None:
        line = {"method": method, "path": path, "query": query, "fields": fields, "body": body}
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")

    async def any_route(request: Request) -> Response:
        body = (await request.body()).decode(errors="replace")
        note(request.method, request.url.path, request.url.query, dict(request.headers), body)
        match request.url.path:
            case "/customer.json":
                return JSONResponse(CUSTOMER)
            case "/elsewhere":
                return RedirectResponse("https://evil.example/")
            case "/cookies":
                answer = Response("set")
                answer.set_cookie("own", "1", domain=request.headers["host"].partition(":")[0])
                answer.headers.append("set-cookie", "__Host-gatebook=gbt_browser_stolen; Path=/; Secure")
                return answer
            case "/orders":
                return JSONResponse({"ordered": body})
            case "/events":
                return StreamingResponse(_events(), media_type="text/event-stream")
            case _:
                return HTMLResponse(PAGE)

    async def talk(socket: WebSocket) -> None:
        note("WEBSOCKET", socket.url.path, "", dict(socket.headers), "")
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(f"{text}: {json.dumps(CUSTOMER)}")

    methods = ["GET", "POST", "PUT", "DELETE"]
    return Starlette(routes=[WebSocketRoute("/talk", talk), Route("/{path:path}", any_route, methods=methods)])


async def _events() -> AsyncIterator[str]:
    for number in range(3):
        yield f"id: {number}\ndata: {json.dumps(CUSTOMER)}\n\n"
        await asyncio.sleep(0.05)


def main() -> None:
    import uvicorn

    app = _app(Path(sys.argv[2]))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False, ws="websockets-sansio")


if __name__ == "__main__":
    main()
