"""``gatebook connect TARGET``: starts the target's usual client with identity in place, or has a script proposed.

The token reaches psql in its environment and curl through a pipe, never in arguments, which other users of a machine can read.
The client replaces this process, so signals, terminal and exit code are its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gatebook.cli import curl, kubectl
from gatebook.cli.apiclient import Gateway, UsageError, find_gateway
from gatebook.cli.asking import held_or_new
from gatebook.cli.common import JsonOption
from gatebook.cli.kubeconfig import Wish as Cluster
from gatebook.cli.kubeconfig import configuration, plugin
from gatebook.cli.places import (
    HOLD_HELP,
    SECRETS,
    WHY_HELP,
    Choice,
    Door,
    Place,
    Terms,
    Tokens,
    check_why,
    client_environment,
    client_options,
    find_place,
)
from gatebook.cli.sshidentity import CONFIG, kept_at, refresh
from gatebook.cli.token import CaOption, FromOption, IssuerOption, UrlOption, fail
from gatebook.errors import GatebookError

if TYPE_CHECKING:
    from gatebook.cli.scriptfile import ScriptFile

TARGET_HELP = "Target to open, or TARGET/DATABASE; of an HTTP target TARGET/PATH, of a cluster TARGET/NAMESPACE."
ARGS_HELP = "Arguments for the client, after --."
FILE_HELP = "A file of SQL to run, - for standard input."
PROPOSE_HELP = "Have the file approved and run as a whole, once."
WAIT_HELP = "How long to wait for people; as long as they may answer, otherwise."
NO_WAIT_HELP = "Ask, and do not wait: exit code 3 while it waits for people."
AGAIN_HELP = "Ask anew about a script that was denied."
ROLE_HELP = "Role to ask for at the target; the target's default role otherwise."
CLIENT_HELP = "The client to run instead of the first psql, curl, kubectl or ssh on PATH."


_PACKAGE = {"psql": "PostgreSQL's client", "curl": "curl", "kubectl": "kubectl", "ssh": "OpenSSH's client"}


def connect(
    target: Annotated[str, typer.Argument(help=TARGET_HELP)],
    args: Annotated[list[str] | None, typer.Argument(metavar="[-- ARGS]", help=ARGS_HELP)] = None,
    role: Annotated[str | None, typer.Option("--role", help=ROLE_HELP, show_default=False)] = None,
    client: Annotated[str | None, typer.Option("--client", metavar="FILE", help=CLIENT_HELP, show_default=False)] = None,
    why: Annotated[str, typer.Option("--why", metavar="TICKET", help=WHY_HELP)] = "",
    hold: Annotated[Choice, typer.Option("--hold", help=HOLD_HELP)] = Choice.WAIT,
    file: Annotated[str | None, typer.Option("--file", "-f", metavar="FILE", help=FILE_HELP, show_default=False)] = None,
    proposed: Annotated[bool, typer.Option("--propose", help=PROPOSE_HELP)] = False,
    wait: Annotated[float | None, typer.Option("--wait", metavar="SECONDS", min=0, help=WAIT_HELP, show_default=False)] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help=NO_WAIT_HELP)] = False,
    again: Annotated[bool, typer.Option("--again", help=AGAIN_HELP)] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    ca: CaOption = None,
    source: FromOption = None,
    issuer: IssuerOption = None,
) -> None:
    """Open a target with its usual client, identity in place: gatebook connect shop -- -c 'SELECT 1'.

    The token is $GATEBOOK_TOKEN, else a new one as `gatebook token` gets it.

    Runs psql for PostgreSQL targets, and curl for HTTP targets, with the arguments that stand after --; the exit code is the
    client's: gatebook connect billing/customers/1 -- --request DELETE. For clusters it runs kubectl, or without arguments a
    shell in which kubectl, helm and their like go there: gatebook connect prod/shop -- get pods. For hosts it runs ssh with a
    certificate of its own: gatebook connect web1 -- uptime.

    With --propose nothing but the file is run, as one. Exit code 0 when it ran, 1 when it was refused, denied or failed,
    3 while it waits for people: the same command run again goes on.
    """
    try:
        own = {"--wait": wait is not None, "--no-wait": no_wait, "--again": again, "--json": as_json}
        _check_proposal(proposed, file, {"--client": client, "--hold": hold is not Choice.WAIT, "--": args}, own)
        program = find_client(client) if client is not None else ""
        if file == "-" == source:
            raise UsageError("--file - and --from -: expected one of them, since standard input is read once")
        script = _script(file) if proposed and file is not None else None
        gateway = find_gateway(url, ca)
        token = held_or_new(gateway, source, issuer)
        place = find_place(gateway, token, target.partition("/")[0], check_why(why))
        if place.protocol == "http":
            if file is not None:
                raise UsageError("--file is for scripts of SQL; what curl sends it takes after --: --data @FILE")
            path, args = curl.asked(target, args or [])
            wish = curl.Wish(path=path, role=role, why=why, hold=hold)
            _run_curl(program or find_client(None, "curl"), place, target.partition("/")[0], wish, token, gateway.ca, args)
        if place.protocol == "kubernetes":
            if file is not None:
                raise UsageError("--file is for scripts of SQL; kubectl takes files after --: apply -f FILE")
            name, _, namespace = target.partition("/")
            said = hold.value if hold is Choice.WAIT else ""
            cluster = Cluster(target=name, context=name, namespace=namespace, role=role or "", why=why, hold=said)
            made = configuration(cluster, place, gateway, plugin(gateway, source, issuer))
            _run_kubectl(kubectl.command(client, args or [], os.environ), kubectl.held(made))
        if place.protocol == "ssh":
            if file is not None:
                raise UsageError("--file is for scripts of SQL; a host takes what ssh sends it: -- sh -s < FILE")
            folder = kept_at(gateway, source, issuer, why)
            refresh(gateway, token, folder, why)
            _run_ssh(program or find_client(None, "ssh"), folder, target.partition("/")[0], role, args or [])
        if place.protocol != "postgres":
            raise UsageError(_elsewhere(place, target.partition("/")[0]))
        program = program or ("" if proposed else find_client(None))
        environment = client_environment(os.environ, place, target, token, gateway.ca, role)
        if script is not None:
            door = Door(place, target, role, gateway.verify if place.tls else None)
            terms = Terms(why=why, wait=0 if no_wait else wait, again=again, as_json=as_json)
            _propose(script, gateway, door, terms, Tokens(token, gateway, source, issuer))
        if options := client_options(os.environ.get("PGOPTIONS", ""), why, hold):
            environment["PGOPTIONS"] = options
    except GatebookError as error:
        fail("connect", error)
    given = ["-f", file] if file is not None else []
    os.execve(program, [program, *given, *(args or [])], environment)  # noqa: S606 - no shell is wanted


def _elsewhere(place: Place, target: str) -> str:
    """What reaches a target whose clients are started by themselves."""
    if place.protocol == "git":
        return (
            f"{target} is a git server: git clone https://{place.host}:{place.port}/git/{target}/REPOSITORY.git, "
            "with `gatebook git-credential` as git's helper"
        )
    raise AssertionError(f"a target of {place.protocol}, which has a client")


def _run_curl(
    program: str, place: Place, target: str, wish: curl.Wish, token: str, ca: Path | None, args: list[str]
) -> NoReturn:
    pipe = curl.piped(curl.configuration(place, target, wish, token, ca))
    argv = [program, "-q", "--config", f"/dev/fd/{pipe}", *args]
    os.execve(program, argv, curl.environment(os.environ))  # noqa: S606 - no shell is wanted


def _run_ssh(program: str, folder: Path, target: str, role: str | None, args: list[str]) -> NoReturn:
    """ssh, or scp and sftp, which take the same; its configuration is the gateway's alone."""
    asked = ["-o", f"User={role}%{target}"] if role else []
    argv = [program, "-F", str(folder / CONFIG), *asked, target, *args]
    kept = {name: value for name, value in os.environ.items() if name not in SECRETS}
    os.execve(program, argv, kept)  # noqa: S606 - no shell is wanted


def _run_kubectl(argv: list[str], kubeconfig: str) -> NoReturn:
    program = find_client(argv[0], argv[0] if argv[0] in _PACKAGE else "kubectl")
    os.execve(program, argv, {**os.environ, "KUBECONFIG": kubeconfig})  # noqa: S606 - no shell is wanted


def _script(file: str) -> ScriptFile:
    from gatebook.cli.scriptfile import read_script  # the grammar takes its time to load, and psql needs none

    return read_script(file)


def _propose(script: ScriptFile, gateway: Gateway, door: Door, terms: Terms, tokens: Tokens) -> None:
    from gatebook.cli.propose import Wish, propose

    propose(Wish(script=script, gateway=gateway, door=door, terms=terms, tokens=tokens))


def find_client(named: str | None, usual: str = "psql") -> str:
    """The client's path; raises UsageError."""
    found = shutil.which(named or usual)
    if found is None:
        raise UsageError(f"{named or usual} was not found: install {_PACKAGE[usual]}, or name one with --client FILE")
    return found


def _check_proposal(proposed: bool, file: str | None, psql: Mapping[str, object], own: Mapping[str, object]) -> None:
    """Options that only psql takes do not go with --propose, and its own go with nothing else; raises UsageError."""
    if proposed and file is None:
        raise UsageError("--propose: which script? Give -f FILE, or -f - for standard input")
    wrong = [name for name, value in (psql if proposed else own).items() if value]
    if wrong:
        why = "is for psql, which --propose does not run" if proposed else "goes with --propose alone"
        raise UsageError(f"{wrong[0]} {why}")
