"""What of a head is passed on, and what the gateway says in its own name (RFC 9110 §7.6).

``forwardable`` drops what is of one connection alone. A client's Connection field can have fields of its own dropped with it,
but none that a decision or a target may rest on: they are passed on all the same. Fields that the gateway owns are never taken
from a client; ``without_owned`` goes before ``forwarded``.
"""

from __future__ import annotations

from functools import lru_cache

from gatebook.protocols.http.checks import listed
from gatebook.protocols.http.message import Fields

_OF_THE_CONNECTION = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"transfer-encoding",
        b"content-length",  # the codec's to write
        b"host",  # likewise
        b"upgrade",  # likewise
        b"http2-settings",
        b"te",
        b"trailer",  # which trailers are passed on is decided when they come
        b"expect",  # the gateway asks for the content itself
    )
)
_ALWAYS_NAMED = frozenset((b"close", b"keep-alive", b"upgrade", b"te"))  # a TE that is passed on is, whoever names it
_NAMED_BUT_KEPT = frozenset(
    b"""
    accept authorization cache-control cookie set-cookie date etag location mcp-session-id mcp-protocol-version origin range
    referer user-agent vary www-authenticate idempotency-key impersonate-user impersonate-group impersonate-uid soapaction
    """.split()
)
_NAMED_BUT_KEPT_OF = (b"accept-", b"content-", b"if-", b"sec-", b"x-", b"grpc-", b"mcp-", b"gatebook-", b"impersonate-")

# A server that believes one of these takes the client for somebody else, or serves another path than the one that was decided.
_OWNED = frozenset(
    b"""
    forwarded x-real-ip true-client-ip cf-connecting-ip fastly-client-ip x-client-ip x-cluster-client-ip x-remote-ip
    x-remote-addr x-remote-user remote-user x-host x-original-url x-original-uri x-original-host x-rewrite-url x-scheme
    x-authenticated-user x-authenticated-userid x-credential-identifier x-middleware-subrequest x-ssl-verify
    x-url-scheme front-end-https x-ssl-client-cert x-client-cert ssl-client-cert client-cert client-cert-chain
    """.split()
)
_OWNED_OF = tuple(
    b"""
    x-forwarded- gatebook- x-gatebook- x-webauth- x-auth-request- x-goog-authenticated- x-goog-iap- x-ms-client-principal
    x-amzn-oidc- cf-access- x-pomerium- x-consumer- tailscale-user- ssl-client- x-ssl-client- x-envoy- x-remote-
    """.split()
)


def forwardable(fields: Fields) -> Fields:
    """The fields of a request or an answer that are for the other end."""
    named = {one for name, value in fields if name == b"connection" for one in listed(value)} - _ALWAYS_NAMED
    kept = [
        field for field in fields if not _of_the_connection(field[0]) or (field[0] == b"te" and field[1].lower() == b"trailers")
    ]
    if named:
        kept = [field for field in kept if field[0] not in named or _kept(field[0])]
    return tuple(kept)


@lru_cache(maxsize=1_024)
def _of_the_connection(name: bytes) -> bool:
    return name in _OF_THE_CONNECTION or name.startswith(b"proxy-")


def _kept(name: bytes) -> bool:
    return name in _NAMED_BUT_KEPT or name.startswith(_NAMED_BUT_KEPT_OF)


@lru_cache(maxsize=1_024)
def owned(name: bytes) -> bool:
    """Whether the gateway alone says this to a target; a server may read an underscore as a hyphen."""
    plain = name.replace(b"_", b"-")
    return plain in _OWNED or plain.startswith(_OWNED_OF)


def without_owned(fields: Fields) -> Fields:
    """What a client said, less what is the gateway's to say."""
    return tuple([field for field in fields if not owned(field[0])])


def without(fields: Fields, *names: bytes) -> Fields:
    """Less these, by whichever spelling a server would take for them."""
    gone = frozenset(names)
    return tuple([field for field in fields if field[0].replace(b"_", b"-") not in gone])


def without_cookies(fields: Fields, beginning: bytes) -> Fields:
    """Less the cookies whose names begin so, in whichever letters: the gateway's own, in a client's Cookie and in a target's
    Set-Cookie."""
    beginning, kept = beginning.lower(), list[tuple[bytes, bytes]]()
    for name, value in fields:
        if name == b"cookie":
            pairs = [part.strip(b" \t") for part in value.split(b";")]
            value = b"; ".join([one for one in pairs if one and not one.lstrip(b" \t=").lower().startswith(beginning)])
            if not value:
                continue
        elif name == b"set-cookie" and value.lstrip(b" \t=").lower().startswith(beginning):
            continue
        kept.append((name, value))
    return tuple(kept)


def forwarded(fields: Fields, *, client: str, scheme: str, authority: str) -> Fields:
    """With what the gateway knows of the client; what a client says of itself must be gone before."""
    if any(owned(name) and not name.startswith((b"gatebook-", b"x-gatebook-")) for name, _ in fields):
        raise AssertionError("a client's word for who it is would be passed on")
    node = f'"[{client}]"' if ":" in client else client
    host = f'"{authority}"' if ":" in authority else authority
    return (
        *fields,
        (b"x-forwarded-for", client.encode()),
        (b"x-forwarded-proto", scheme.encode()),
        (b"x-forwarded-host", authority.encode()),
        (b"x-real-ip", client.encode()),
        (b"forwarded", f"for={node};host={host};proto={scheme}".encode()),
    )


def via(fields: Fields, version: str, name: str = "gatebook") -> Fields:
    """With the gateway behind those that a message came through; ``version`` is the one it came by, as "1.1" or "2"."""
    hops = [value for known, value in fields if known == b"via"]
    line = b", ".join((*hops, f"{version} {name}".encode()))
    return (*(field for field in fields if field[0] != b"via"), (b"via", line))
