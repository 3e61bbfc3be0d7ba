"""How a git client hears a refusal, in its own words: ``ng ref why`` for a push, ``ERR why`` for anything else.

Format: gitprotocol-pack, "Report Status" and "Packfile Data" (side bands); gitprotocol-common, ``ERR``. Who pushes takes an
``ERR`` where bands are due for a broken band, and shows nothing of it.
"""

from __future__ import annotations

from gatebook.protocols.git.paths import Place, Service
from gatebook.protocols.git.pktline import line
from gatebook.protocols.git.pushing import Push
from gatebook.protocols.http.message import Response

REASON_CHARACTERS = 400
BAND_BYTES = 65_515
_BANDS = ("side-band-64k", "side-band")
_OLD_BAND_BYTES = 995
_REPORTS = ("report-status", "report-status-v2")


def refused(place: Place, push: Push | None, why: str, advice: str = "") -> tuple[Response, bytes]:
    """The answer, which is a good one to HTTP: git shows what stands in it, and nothing of an answer that is not."""
    why, advice = _plain(why), _plain(advice)
    service = place.service or Service.UPLOAD
    if place.service is Service.RECEIVE and push is None and not place.opens:
        return _said(f"application/x-{service}-result"), unread(why, advice)
    if place.opens:
        content = line(f"# service={service}\n") + b"0000" + line(f"ERR {_whole(why, advice)}")
        return _said(f"application/x-{service}-advertisement"), content
    return _said(f"application/x-{service}-result"), report(push, why, advice)


def unread(why: str, advice: str = "") -> bytes:
    """The answer to a push of which not even the refs are known: its client waits for bands, and shows what is in the third."""
    told = _whole(_plain(why), _plain(advice)).encode()[:_OLD_BAND_BYTES]
    return line(b"\3" + told.decode(errors="ignore").encode() + b"\n") + b"0000"


def report(push: Push | None, why: str, advice: str = "") -> bytes:
    """What a service answers in its own protocol: for each ref, where its client can read that."""
    why, advice = _plain(why), _plain(advice)
    if push is None or not push.commands or not any(push.capability(one) is not None for one in _REPORTS):
        return line(f"ERR {_whole(why, advice)}")
    refs = (
        b"".join([line("unpack ok\n"), *(line(f"ng {one.ref} {why[:REASON_CHARACTERS]}\n") for one in push.commands)]) + b"0000"
    )
    band = next((name for name in _BANDS if push.capability(name) is not None), None)
    if band is None:
        return refs
    most = BAND_BYTES if band == _BANDS[0] else _OLD_BAND_BYTES
    told = f"{_whole(why, advice)}\n".encode()
    content = b"".join(line(b"\2" + told[at : at + most]) for at in range(0, len(told), most))
    content += b"".join(line(b"\1" + refs[at : at + most]) for at in range(0, len(refs), most))
    return content + b"0000"


def _whole(why: str, advice: str) -> str:
    return f"{why}. {advice}" if advice else why


def _plain(text: str) -> str:
    """One line that no terminal takes for more."""
    return "".join(one if one.isprintable() else " " for one in text)


def _said(kind: str) -> Response:
    return Response(200, ((b"content-type", kind.encode()), (b"cache-control", b"no-cache")))
