"""One PostgreSQL client connection: from its first byte to its last.

Phases: ``knocking`` (TLS, startup packet) -> ``password`` -> ``proving`` -> ``logging in`` (to the server, as the target's
role) -> ``open`` -> ``gone``. What happens up to ``open`` is ``opening.Opening``'s concern, the requests of an open session are
``relay_asking.Asking``'s, the server's answers ``answers.Answers``'s; here signals and bytes find their way to them, and a
session ends.
"""

from __future__ import annotations

from typing import assert_never

from gatebook.errors import WireError
from gatebook.model import Permit, Session
from gatebook.protocols.postgres import native, refusal, wire
from gatebook.protocols.postgres.answers import Answers
from gatebook.protocols.postgres.bearer import Bearer
from gatebook.protocols.postgres.catalog_facts import Facts
from gatebook.protocols.postgres.drafting import Tryable
from gatebook.protocols.postgres.opening import Keys, Opening
from gatebook.protocols.postgres.relay_asking import Asking
from gatebook.protocols.postgres.relay_lane import Lane
from gatebook.protocols.postgres.scram import Stretched
from gatebook.protocols.relay import (
    NO_IDENTITY,
    Allowed,
    Cancel,
    Cancelled,
    Covering,
    Credential,
    Effect,
    Ended,
    FromClient,
    FromServer,
    HangUp,
    Held,
    Interrupt,
    Opened,
    Own,
    Refused,
    Side,
    Signal,
    Stale,
    ToClient,
    Trying,
)

OWN = frozenset({"login", "catalog", "refusal", "sync", "flush", "close", "describe", "tag", "ceiling", "terminate"})
HELD_BYTES = 65_536  # what a client may send ahead while an action of its is held


class PostgresRelay:
    """The relay of one connection.

    ``secure`` says that the client's bytes cannot be read on their way (loopback); ``offers_tls`` that the listener has a
    certificate; ``keys`` are the client's cancel keys; ``secret`` is a name nobody can guess, for what must not exist;
    ``bearer`` says where clients get tokens for OAUTHBEARER; ``stretched`` is what logins of other connections left
    behind, ``facts`` what their sessions learnt of catalogs.
    """

    def __init__(
        self,
        *,
        secure: bool,
        offers_tls: bool,
        keys: Keys,
        secret: str,
        bearer: Bearer | None = None,
        stretched: Stretched | None = None,
        facts: Facts | None = None,
    ) -> None:
        self._facts = facts
        self._opening, self._over = Opening(secure, offers_tls, keys, secret, bearer, stretched), False
        self._client = wire.Frames(wire.CLIENT_BYTES, parts=True)
        self._server = wire.Frames(wire.SERVER_BYTES)
        self._out: list[Effect] = []
        self._answers = Answers()
        self._asking = Asking(self._answers, secret, self._out, self._client)
        self._session = ""
        self.lane = Lane(self._asking, self._answers, (self._client, self._server)) if native.has_lanes else None

    @property
    def _phase(self) -> str:
        return "gone" if self._over else self._opening.step

    @property
    def hungry(self) -> bool:
        """Whether more bytes of the client are of use now. While an action is held, a few are: they show that it is there."""
        return self._free or (self._asking.held and len(self._client) < HELD_BYTES)

    @property
    def _free(self) -> bool:
        """Whether the client's next request can be taken."""
        if self._over:
            return False
        return self._asking.free if self._opening.step == "open" else self._opening.reads

    def feed(self, signal: Signal) -> list[Effect]:
        """Take one signal; see protocols/relay.py."""
        if self._over:
            return []
        try:
            self._feed(signal)
        except WireError as fault:
            self._broken(str(fault))
        out = self._out.copy()
        self._out.clear()
        if self.lane is not None:
            self.lane.settle(is_open=self._phase == "open")
        return out

    def tryable(self) -> Tryable:
        """What of the request that waits for its verdict could be tried in a preview."""
        return self._asking.tryable() if self._phase == "open" else Tryable(why="its session is not open")

    def _feed(self, signal: Signal) -> None:
        match signal:
            case FromClient(data):
                self._client.add(data)
                self._from_client()
            case FromServer(data):
                self._server.add(data)
                self._from_server()
            case Opened(session, credential, covering):
                self._opened(session, credential, covering)
            case Allowed(permit, _, decision):
                self._allowed(permit, decision)
                self._from_client()
            case Refused():
                self._refused(signal)
                self._from_client()
            case Trying():
                self._asking.held = True
            case Held():
                self._held(signal)
            case Stale():
                self._answers.stale(deciding=self._asking.deciding)
            case Cancelled():
                self._cancelled()
                self._from_client()
            case Ended(side, why):
                self._ended(side, why)
            case _:
                assert_never(signal)

    # The beginning --------------------------------------------------------------------------------------------------

    def _from_client(self) -> None:
        while self._free:
            if self._phase != "open":
                effects = self._opening.read(self._client)
                if effects is None:
                    return
                self._out += effects
                if any(isinstance(effect, Cancel) for effect in effects):
                    self._gone("a cancel request")
                elif self._opening.last is not None:
                    self._say_last(*self._opening.last)
            else:
                found = self._client.message()
                if found is None:
                    return
                self._request(*found)

    def _request(self, kind: bytes, body: bytes) -> None:
        if kind == b"X":
            self._gone("the client said goodbye")
        else:
            self._asking.take(kind, body)

    def _opened(self, session: Session, credential: Credential, covering: Covering) -> None:
        self._session = session.id
        self._answers.open(covering)
        if self._facts is not None:
            scope = (session.target.name, session.target.address, credential.database, credential.user)
            self._answers.catalog.share(self._facts, "\0".join(scope))
        settings = self._opening.opened(credential)
        if not self._asking.start(session, settings, whole=self._opening.proposes):
            self._out.append(self._opening.log_in(session.id))

    # The server -----------------------------------------------------------------------------------------------------

    def _from_server(self) -> None:
        while self._phase == "logging in" and (found := self._server.message()) is not None:
            self._out += self._opening.logging_in(*found)
        if self._phase == "open":
            while self._opening.reported:
                self._answers.catalog.reported(*self._opening.reported.popitem())
            self._out += self._answers.take(self._server)
            self._asking.resume()
            self._from_client()

    # Verdicts -------------------------------------------------------------------------------------------------------

    def _allowed(self, permit: Permit, decision: str) -> None:
        if self._asking.starting:
            self._asking.started(permit)
            self._out.append(self._opening.log_in(self._session))
        else:
            self._asking.allowed(permit, decision)

    def _held(self, signal: Held) -> None:
        if not self._asking.starting:
            self._asking.hold(signal)
            return
        self._asking.withdraw()  # before the login is over no client reads a notice, and few would wait
        self._say_last(refusal.start_held(signal), f"startup settings held by {signal.rule}")

    def _refused(self, signal: Refused) -> None:
        if self._phase == "proving" or self._asking.starting:
            what = "startup settings refused" if self._asking.starting else "refused"
            said, why = refusal.session_refused(signal.verdict, signal.decision), f"{what} by {signal.verdict.rule}"
            if self._opening.dismisses and signal.verdict.rule == NO_IDENTITY:
                self._out += self._opening.dismiss(said, why)
            else:
                self._say_last(said, why)
        else:
            self._asking.refused(signal)

    # The end --------------------------------------------------------------------------------------------------------

    def _ended(self, side: str, why: str) -> None:
        if side == Side.CLIENT or (side == Side.SERVER and self._answers.fatal):  # the server has said why itself
            self._gone(why)
        elif side == Side.SERVER:
            self._say_last(wire.error_response("FATAL", "08006", why), why)
        else:
            self._say_last(wire.error_response("FATAL", "57P01", why), why)

    def _broken(self, why: str) -> None:
        self._out += self._answers.told()  # rows before the fault are no part of it, and come before what is said of it
        self._say_last(wire.error_response("FATAL", "08P01", why), why)

    def _say_last(self, said: bytes, why: str) -> None:
        self._out.append(ToClient(said))
        self._gone(why)

    def _cancelled(self) -> None:
        if self._phase == "open" and self._asking.held:
            self._asking.withdraw()
        else:
            self._answers.unwanted()
            self._interrupt()

    def _interrupt(self) -> None:
        if self._phase == "open" and self._opening.server_key and not self._answers.idle:
            self._out.append(Interrupt(wire.cancel_request(self._opening.server_key)))

    def _gone(self, why: str) -> None:
        self._interrupt()  # the target would go on with a statement whose client is gone
        self._out += self._answers.abandon("NO ANSWER")
        if self._phase == "open":
            self._out.append(Own("terminate", wire.TERMINATE))
        self._over = True
        self._out.append(HangUp(why))
