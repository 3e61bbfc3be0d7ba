"""PostgreSQL's protocol by hand, for clients that behave badly. Independent of the product's own codec, on purpose."""

from __future__ import annotations

import socket
import struct

PROTOCOL_3_0 = 196_608
SSL_REQUEST = struct.pack(">II", 8, 80_877_103)
CANCEL_REQUEST = struct.pack(">IIII", 16, 80_877_102, 1, 1)


def startup(database: str = "shop", user: str = "shop_app", **more: str) -> bytes:
    pairs = {"user": user, "database": database, **more}
    body = b"".join(f"{name}\0{value}\0".encode() for name, value in pairs.items()) + b"\0"
    return struct.pack(">II", len(body) + 8, PROTOCOL_3_0) + body


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


def password(token: str) -> bytes:
    return message(b"p", token.encode() + b"\0")


def query(text: str) -> bytes:
    return message(b"Q", text.encode() + b"\0")


def rest(connection: socket.socket) -> bytes:
    """Everything up to the other side's end, by close or reset. A side that does not end fails by the socket's timeout."""
    got = b""
    while True:
        try:
            chunk = connection.recv(65_536)
        except ConnectionResetError:
            return got
        if not chunk:
            return got
        got += chunk


def until_ready(connection: socket.socket) -> bytes:
    """Everything up to and with a ReadyForQuery."""
    got = b""
    while not (len(got) >= 6 and got[-6:-1] == b"Z\0\0\0\5"):
        chunk = connection.recv(65_536)
        assert chunk, f"the connection ended after {got!r}"
        got += chunk
    return got


def logged_in(connection: socket.socket, token: str, database: str = "shop") -> None:
    """A session, open for queries."""
    connection.sendall(startup(database))
    assert connection.recv(9) == b"R\0\0\0\x08\0\0\0\x03"
    connection.sendall(password(token))
    assert until_ready(connection).startswith(b"R\0\0\0\x08\0\0\0\0")
