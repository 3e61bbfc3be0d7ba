"""``gatebook ssh-config``: lets plain ``ssh TARGET`` reach hosts through the gateway, by a certificate that renews itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from gatebook.cli.apiclient import Gateway, UsageError, find_gateway
from gatebook.cli.asking import held_or_new
from gatebook.cli.kubeconfig import own_command
from gatebook.cli.places import WHY_HELP, check_why
from gatebook.cli.sshidentity import CONFIG, lives, refresh
from gatebook.cli.token import CaOption, FromOption, IssuerOption, UrlOption, fail
from gatebook.errors import GatebookError

FOLDER_HELP = "Where key, certificate and configuration are kept; ~/.config/gatebook/ssh otherwise."
RENEW_HELP = "Get a new certificate only where the one that is there is about to end, and say nothing: what OpenSSH runs."

FolderOption = Annotated[Path | None, typer.Option("--folder", metavar="DIR", help=FOLDER_HELP, show_default=False)]


def ssh_config(
    folder: FolderOption = None,
    why: Annotated[str, typer.Option("--why", metavar="TICKET", help=WHY_HELP, show_default=False)] = "",
    renew: Annotated[bool, typer.Option("--renew", help=RENEW_HELP)] = False,
    url: UrlOption = None,
    ca: CaOption = None,
    source: FromOption = None,
    issuer: IssuerOption = None,
) -> None:
    """Let plain ssh reach hosts by their names: gatebook ssh-config >> ~/.ssh/config, then ssh web1.

    It makes a key, has the gateway certify it for some hours at most, and prints the lines that include the configuration it
    wrote. ssh, scp, sftp, rsync and git renew the certificate by themselves, with the same --from and --issuer.
    """
    try:
        place = (folder or _usual()).expanduser().absolute()
        if renew and lives(place):
            return
        if source == "-":
            raise UsageError("--from -: certificates are renewed again and again; expected a file")
        gateway = find_gateway(url, ca)
        token = held_or_new(gateway, source, issuer)
        given = refresh(gateway, token, place, check_why(why), renewal(gateway, source, issuer, place, why))
    except GatebookError as error:
        fail("ssh-config", error)
    if not renew:
        print(f'Match all\nInclude "{place / CONFIG}"')  # an Include inside of somebody's Host would be that host's alone
        print(f"hosts: {', '.join(given.names)}; try ssh {given.names[0]}", file=sys.stderr)


def renewal(gateway: Gateway, source: str | None, issuer: str | None, folder: Path, why: str) -> list[str]:
    """The command that OpenSSH runs before it connects."""
    argv = [own_command(), "ssh-config", "--renew", "--folder", str(folder), "--url", gateway.url]
    argv += ["--ca", str(gateway.ca.absolute())] if gateway.ca is not None else []
    argv += ["--from", str(Path(source).absolute())] if source is not None else []
    argv += ["--issuer", issuer] if issuer is not None else []
    return argv + (["--why", why] if why else [])


def _usual() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "gatebook" / "ssh"
