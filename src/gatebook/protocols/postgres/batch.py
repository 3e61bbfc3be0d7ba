"""What the server has done since the client's last Sync, as far as a question of the gateway's own in its midst must know.

A question may come to where no client can tell that it was there, and nowhere else:

- between two batches: with a Sync of its own;
- in a batch of which nothing is open, since only Parse, Describe and Close were answered, or its transaction has ended: with a
  Sync of its own too, which has nothing to commit and no portal to close;
- in a transaction that the client began, or behind an Execute that left the batch's own transaction open: without a Sync. The
  server marks the batch at the first such Execute (what may not run inside a transaction is refused from then on), so that
  another changes nothing.

Elsewhere, behind a Bind whose Execute has not come yet, it would either close a portal or set that mark. Nor may it be what
takes the snapshot that a transaction keeps: LOCK TABLE takes none, so that what is read behind it is read as it is when the
lock is had. Where each statement has a snapshot of its own, which SHOW tells without taking one, none is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

# Tags of commands behind which the transaction of a batch is open, whatever their options. VACUUM, CREATE INDEX, ALTER TABLE,
# DISCARD ALL and their like may end it at once.
_LEAVES_OPEN = (
    *"SELECT INSERT UPDATE DELETE MERGE FETCH MOVE SHOW EXPLAIN DECLARE DEALLOCATE LISTEN UNLISTEN NOTIFY COPY SET".split(),
    *("CLOSE CURSOR", "LOCK TABLE", "TRUNCATE TABLE", "COMMENT", "GRANT", "REVOKE"),
    *("CREATE TABLE", "CREATE VIEW", "CREATE SCHEMA", "CREATE FUNCTION", "CREATE TYPE", "CREATE SEQUENCE"),
    *("DROP TABLE", "DROP VIEW", "DROP SCHEMA", "DROP FUNCTION", "DROP TYPE", "DROP SEQUENCE"),
)
_ANEW = b"read "  # how the isolation levels begin of which no snapshot outlives its statement
_QUIET = ("PREPARE", "SAVEPOINT", "RELEASE")  # neither ends it nor, outside of one, begins it


@dataclass(slots=True)
class Batch:
    """``ran``: an Execute left its transaction open. ``bound``: a portal was made in it, which a Sync would close.

    ``sees``: its transaction has a snapshot. ``anew``: each statement has one of its own there, None where that was not asked.
    """

    ran: bool = False
    bound: bool = False
    sees: bool = False
    anew: bool | None = None

    def done(self, tag: str, *, begins: bool, ends: bool, snapshots: bool) -> None:
        """A command of the client's has ended with this tag; ``begins`` or ``ends`` a transaction, or takes its snapshot."""
        self.sees = not ends and (self.sees or snapshots)
        if begins or ends or tag == "SET":
            self.anew = None
        if begins or tag.startswith(_LEAVES_OPEN):
            self.ran = True
        elif ends:
            self.ran = self.bound = False
        elif tag != _QUIET[0] and not tag.startswith(_QUIET[1:]):
            self.ran = False

    def over(self, *, within: bool) -> None:
        """A Sync was answered, or what stands for one, ``within`` a transaction."""
        self.ran = self.bound = False
        self.sees = self.sees and within
        self.anew = self.anew if within else None

    def asked(self, *, level: bytes | None, within: bool) -> None:
        """A question of the gateway's own was answered: about this isolation ``level``, or else one that takes a snapshot."""
        if level is None:
            self.sees = within
        else:
            self.anew = level.startswith(_ANEW)
