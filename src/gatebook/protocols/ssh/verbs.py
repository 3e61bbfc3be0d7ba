"""The closed lists of SSH: what may be done on a host, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gatebook.model import Reach

VERBS: Mapping[str, Reach] = MappingProxyType(
    {
        "ssh.exec": Reach.WRITE,  # a command; unknown where it cannot be told what runs
        "ssh.input": Reach.UNKNOWN,  # input for a command that may take more of it than data
        "ssh.shell": Reach.UNKNOWN,  # a shell, or an interpreter with a terminal
        "ssh.line": Reach.WRITE,  # a line that is typed at a terminal; unknown where it cannot be told what runs
        "ssh.download": Reach.UNKNOWN,  # files come by rsync, or by scp without SFTP
        "ssh.upload": Reach.UNKNOWN,  # they go
        "ssh.sftp": Reach.READ,  # SFTP is spoken; each request is decided by itself
        "ssh.sftp.read": Reach.READ,  # a file is opened to be read
        "ssh.sftp.list": Reach.READ,  # what stands in a folder
        "ssh.sftp.stat": Reach.READ,  # a file's size, times and rights
        "ssh.sftp.write": Reach.WRITE,  # a file is opened to be written, or made
        "ssh.sftp.setstat": Reach.WRITE,  # its rights, times or size are set
        "ssh.sftp.remove": Reach.WRITE,  # a file or folder
        "ssh.sftp.mkdir": Reach.WRITE,
        "ssh.sftp.rename": Reach.WRITE,
        "ssh.sftp.link": Reach.WRITE,
        "ssh.subsystem": Reach.UNKNOWN,  # any other subsystem of the host's
        "ssh.forward": Reach.UNKNOWN,  # a connection through the host, or one that it listens for
        "ssh.agent": Reach.UNKNOWN,  # the host may use the client's agent of keys, as long as the session lasts
    }
)

# Every deed of a channel carries each of these facts; policies see them as context attributes of the same name.
FACTS: Mapping[str, bool | int | str | frozenset[str]] = MappingProxyType(
    {
        "user": "",  # of the host, as whom it runs
        "command": "",  # as it was sent
        "programs": frozenset(),  # that it runs, by name, those in a shell's text
        "words": frozenset(),  # of all commands in it
        "writes": frozenset(),  # files that its output is led into, as they are written out
        "tty": False,  # with a terminal
        "environment": frozenset(),  # "NAME=value" that the client sets
        "subsystem": "",  # its name
        "path": "",  # of a file, as the host resolves it; of a transfer, as its client says it
        "to": "",  # the new name of what is renamed or linked; what a symbolic link leads to
        "host": "",  # that a forward leads to, or listens at; the path of a socket
        "port": -1,  # of a forward; -1 for none
        "listens": False,  # a forward has the host listen
        "why_unknown": "",  # why it could not be told what runs
    }
)
