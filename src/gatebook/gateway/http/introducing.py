"""How a target is told who asks, in the gateway's words: the headers by which Kubernetes takes one identity for another.

The cluster's own rules then decide for that user too, and its audit log names them (Kubernetes, "User impersonation").
"""

from __future__ import annotations

from urllib.parse import quote

from gatebook.config import KubernetesTarget, WebTarget
from gatebook.model import Session
from gatebook.protocols.http.message import Fields

EXTRA = "gatebook.dev/"


def introduction(target: WebTarget, role: str, session: Session) -> Fields:
    """The fields that introduce a session's identity; none where the target knows the gateway alone."""
    told = target.roles[role].impersonate if isinstance(target, KubernetesTarget) else None
    if told is None:
        return ()
    identity = session.identity
    extras = {
        "session": session.id,
        "on_behalf_of": identity.on_behalf_of or "",
        "issuer": identity.issuer,
        "purpose": session.purpose,
    }
    return (
        (b"impersonate-user", _value(told.user(identity.subject))),
        *((b"impersonate-group", _value(name)) for name in told.told(identity.groups)),
        *((_extra(name), _value(extras[name])) for name in told.extra if extras[name]),
    )


def _extra(name: str) -> bytes:
    """The key of an extra is percent-encoded, since names of fields have fewer characters than keys."""
    return b"impersonate-extra-" + quote(EXTRA + name.replace("_", "-"), safe="").lower().encode()


def _value(text: str) -> bytes:
    """A value as a field can hold it: what is no printable ASCII is percent-encoded."""
    return quote(text, safe="".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")).encode()
