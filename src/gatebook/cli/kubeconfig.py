"""``gatebook kubeconfig TARGET``: how kubectl and every other client of Kubernetes finds a cluster through the gateway.

What is written holds no secret: clients run ``gatebook token --exec-credential`` when they need a token, and again when it has
ended (Kubernetes' client-go credential plugins, client.authentication.k8s.io/v1). Role, purpose and hold stand in the server's
address, since clients send no fields of their own.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
import yaml

from gatebook.cli.apiclient import Gateway, RefusedError, UsageError, find_gateway
from gatebook.cli.asking import held_or_new
from gatebook.cli.places import HOLD_HELP, WHY_HELP, Choice, Place, check_why, find_place
from gatebook.cli.token import CaOption, FromOption, IssuerOption, UrlOption, fail
from gatebook.errors import GatebookError

FILE_BYTES = 4 * 1024 * 1024
LISTS = ("clusters", "users", "contexts")

TARGET_HELP = "The cluster, by its target's name."
FILE_HELP = "Write it into this kubeconfig, beside what is there; else it is printed."
ROLE_HELP = "Role to ask for at the target; the target's default role otherwise."
NAMESPACE_HELP = "Namespace of the context."
CONTEXT_HELP = "Name of the context; gatebook-TARGET otherwise."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the clients of a kubeconfig want of a cluster."""

    target: str
    context: str
    namespace: str = ""
    role: str = ""
    why: str = ""
    hold: str = ""


def kubeconfig(
    target: Annotated[str, typer.Argument(help=TARGET_HELP)],
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help=FILE_HELP, show_default=False)] = None,
    context: Annotated[str, typer.Option("--context", metavar="NAME", help=CONTEXT_HELP, show_default=False)] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help=NAMESPACE_HELP, show_default=False)] = "",
    role: Annotated[str, typer.Option("--role", help=ROLE_HELP, show_default=False)] = "",
    why: Annotated[str, typer.Option("--why", metavar="TICKET", help=WHY_HELP, show_default=False)] = "",
    hold: Annotated[Choice, typer.Option("--hold", help=HOLD_HELP)] = Choice.ANSWER,
    url: UrlOption = None,
    ca: CaOption = None,
    source: FromOption = None,
    issuer: IssuerOption = None,
) -> None:
    """Print a kubeconfig for a cluster, or write it into one: gatebook kubeconfig prod --file ~/.kube/config.

    It holds no token: clients ask `gatebook token` for one by themselves, with the same --from and --issuer. Where
    $GATEBOOK_TOKEN is set, that is the token.
    """
    try:
        gateway = find_gateway(url, ca)
        place = find_place(gateway, held_or_new(gateway, source, issuer), target, check_why(why))
        wish = Wish(
            target=target,
            context=context or f"gatebook-{target}",
            namespace=namespace,
            role=role,
            why=why,
            hold=Choice.WAIT if hold is Choice.WAIT else "",
        )
        made = configuration(wish, place, gateway, plugin(gateway, source, issuer))
        if file is None:
            print(yaml.safe_dump(made, sort_keys=False), end="")
            return
        written_into(file, made)
        print(f"{file}: context {wish.context} is the current one; try kubectl get pods", file=sys.stderr)
    except GatebookError as error:
        fail("kubeconfig", error)


def server_of(wish: Wish, place: Place) -> str:
    """The server's address. Raises RefusedError where clients would send no token."""
    if place.protocol != "kubernetes":
        raise RefusedError(f"{wish.target} is a target of {place.protocol}, not a Kubernetes cluster")
    if not place.tls:
        raise RefusedError("listeners.http has no TLS, and Kubernetes' clients send no token without: give it a certificate")
    host = f"[{place.host}]" if ":" in place.host else place.host
    said = {"role": wish.role, "why": wish.why, "hold": wish.hold}
    options = "".join(f"+{name}={quote(value, safe='')}" for name, value in said.items() if value)
    return f"https://{host}:{place.port}/k8s/{wish.target}{options}"


def plugin(gateway: Gateway, source: str | None, issuer: str | None) -> dict[str, Any]:
    """How clients get a token: the command, its arguments. Raises UsageError."""
    if source == "-":
        raise UsageError("--from -: clients ask for tokens again and again; expected a file")
    args = ["token", "--exec-credential", "--url", gateway.url]
    args += ["--ca", str(gateway.ca.absolute())] if gateway.ca is not None else []
    args += ["--from", str(Path(source).absolute())] if source is not None else []
    args += ["--issuer", issuer] if issuer is not None else []
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": own_command(),
        "args": args,
        "interactiveMode": "Never",
        "provideClusterInfo": False,
        "installHint": "gatebook gives the tokens of this cluster: pip install gatebook",
    }


def own_command() -> str:
    """This command as others can run it: by name where that finds this very file."""
    own = Path(sys.argv[0]).absolute()
    found = shutil.which("gatebook")
    if found is not None and Path(found).exists() and own.exists() and Path(found).samefile(own):
        return "gatebook"
    return str(own) if own.name.startswith("gatebook") and os.access(own, os.X_OK) else found or "gatebook"


def configuration(wish: Wish, place: Place, gateway: Gateway, asks: Mapping[str, Any]) -> dict[str, Any]:
    """A kubeconfig of one context. Raises RefusedError and UsageError."""
    cluster: dict[str, Any] = {"server": server_of(wish, place)}
    if gateway.ca is not None:
        cluster["certificate-authority-data"] = b64encode(_read(gateway.ca)).decode()
    context = {"cluster": wish.context, "user": wish.context} | ({"namespace": wish.namespace} if wish.namespace else {})
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": wish.context,
        "clusters": [{"name": wish.context, "cluster": cluster}],
        "users": [{"name": wish.context, "user": {"exec": dict(asks)}}],
        "contexts": [{"name": wish.context, "context": context}],
    }


def written_into(file: Path, made: Mapping[str, Any]) -> None:
    """Put it into a file, beside what is there, and make its context the current one. Raises UsageError.

    The file is replaced whole, by a file that nobody else may read; what a link leads to is replaced, not the link.
    """
    file = file.expanduser()
    place = file.resolve()
    there = _there(place)
    for name in LISTS:
        new = made[name]
        names = {one["name"] for one in new}
        there[name] = [one for one in _listed(there, name, file) if one.get("name") not in names] + list(new)
    there |= {"apiVersion": "v1", "kind": "Config", "current-context": made["current-context"]}
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=".kubeconfig-")
        try:
            with os.fdopen(handle, "w") as out:
                yaml.safe_dump(there, out, sort_keys=False)
            os.replace(temporary, place)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}: expected a kubeconfig that can be written") from None


def _there(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        found = yaml.safe_load(_read(file))
    except (yaml.YAMLError, RecursionError):
        raise UsageError(f"{file}: this is no YAML, so nothing was written into it") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UsageError(f"{file}: this is no kubeconfig, so nothing was written into it")
    return found


def _listed(there: Mapping[str, Any], name: str, file: Path) -> Sequence[Mapping[str, Any]]:
    listed = there.get(name) or []
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise UsageError(f"{file}: its {name} are no list, so nothing was written into it")
    return listed


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            data = source.read(FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    if len(data) > FILE_BYTES:
        raise UsageError(f"{file}: expected a file of at most {FILE_BYTES} bytes")
    return data
