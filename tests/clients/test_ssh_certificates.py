"""Certificates of users and of the gateway, with OpenSSH's clients: what lets in, what does not, and how each ends."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosted import SECONDS, Hosted, ring_gateway
from tests.testbed.hosts import Host, make_key, program

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

PURPOSE_RULES = """
@id("tickets-only") @reason("say which ticket") forbid (principal, action == Action::"session.open", resource == Target::"web2")
unless { context.purpose like "OPS-*" };
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, host: Host) -> Iterator[LiveGateway]:
    hosts = [host.target(), host.target(name="web2")]
    rules = {"purposes": PURPOSE_RULES}
    with ring_gateway(tmp_path_factory.mktemp("ssh"), world, host, hosts=hosts, policies=rules) as gateway:
        yield gateway


def refusal(web1: Hosted) -> str:
    return str(web1.gateway.entries("session.refuse")[-1]["reason"])


# What lets in -----------------------------------------------------------------------------------------------------------


def test_plain_ssh_reaches_a_target_by_name_without_a_prompt(web1: Hosted) -> None:
    folder = web1.certified()
    done = web1.by_name("web1", "echo hello", folder=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello\n", b"")
    opened = web1.gateway.entries("session.open")[-1]
    issued = web1.gateway.entries("certificate.issue")[-1]
    assert (opened["auth"]["by"], opened["auth"]["serial"]) == ("certificate", issued["serial"])
    assert issued["targets"] == ["web1"]
    assert opened["actor"]["id_c"] == issued["actor"]["id_c"]


def test_key_and_certificate_are_their_owners_alone_and_openssh_reads_them(web1: Hosted) -> None:
    folder = web1.certified()
    assert [path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())] == [0] * 6
    shown = subprocess.run(
        [program("ssh-keygen"), "-L", "-f", str(folder / "id_ed25519-cert.pub")], capture_output=True, text=True, check=True
    ).stdout
    issued = web1.gateway.entries("certificate.issue")[-1]
    assert "user certificate" in shown
    assert f"Serial: {issued['serial']}" in shown
    assert issued["key"] in shown
    assert issued["token"] in shown


def test_sftp_and_scp_go_by_the_same_configuration(web1: Hosted) -> None:
    folder, sent = web1.certified(), web1.folder / "sent"
    sent.write_text("over\n")
    done = web1.by_name(str(sent), f"web1:{web1.folder}/arrived", folder=folder, client="scp")
    assert done.returncode == 0, done.stderr
    assert (web1.folder / "arrived").read_text() == "over\n"
    listed = web1.by_name("-b", "-", "web1", folder=folder, client="sftp", stdin=f"ls {web1.folder}/arrived\n".encode())
    assert b"arrived" in listed.stdout


def test_a_certificate_renews_itself_before_it_ends(web1: Hosted) -> None:
    folder = web1.certified(token=web1.gateway.gateway_token())
    before = (folder / "id_ed25519-cert.pub").read_bytes()
    assert web1.gatebook("ssh-config", "--renew", "--folder", str(folder)).status == 0
    assert (folder / "id_ed25519-cert.pub").read_bytes() == before
    (folder / "id_ed25519-cert.pub").unlink()
    answer = web1.gatebook("ssh-config", "--renew", "--folder", str(folder))
    assert (answer.status, answer.output) == (0, "")
    assert (folder / "id_ed25519-cert.pub").read_bytes() != before
    assert web1.by_name("web1", "true", folder=folder).returncode == 0


def test_connect_runs_ssh_with_its_exit_code(web1: Hosted) -> None:
    answer = web1.gatebook("connect", "web1", "--", "echo there; exit 5")
    assert (answer.status, answer.output) == (5, "there")
    assert web1.gatebook("connect", "web1", "--role", "deploy", "--", "true").status == 0
    assert web1.gateway.entries("session.open")[-1]["role"] == "deploy"


def test_a_certificate_is_for_the_purpose_it_was_asked_for(web1: Hosted) -> None:
    folder = web1.certified()
    assert web1.by_name("-l", "web2", "web1", "true", folder=folder).returncode == 255
    assert "principal" in refusal(web1)
    folder = web1.certified("--why", "OPS-7")
    assert web1.by_name("web2", "true", folder=folder).returncode == 0
    opened = web1.gateway.entries("session.open")[-1]
    assert (opened["purpose"], opened["purpose_attested"]) == ("OPS-7", False)


# What ends --------------------------------------------------------------------------------------------------------------


def test_a_certificate_dies_with_the_token_it_stands_on_and_so_do_its_sessions(web1: Hosted) -> None:
    token = web1.gateway.gateway_token()
    folder = web1.certified(token=token)
    argv = [program("ssh"), "-F", str(folder / "config"), "-o", "BatchMode=yes", "web1", "cat"]
    pipe = subprocess.PIPE
    running = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(b"here\n")
    running.stdin.flush()
    assert running.stdout.readline() == b"here\n"
    number = web1.gateway.entries("certificate.issue")[-1]["token"]
    assert web1.gateway.send("DELETE", f"/api/v1/tokens/{number}", web1.gateway.mint(), {}).status_code == 200
    assert running.wait(SECONDS) in (77, 255)
    _, err = running.communicate(timeout=SECONDS)
    assert b"was revoked" in err
    assert web1.by_name("web1", "true", folder=folder).returncode == 255
    assert "token was revoked" in refusal(web1)


def test_a_certificate_of_a_providers_token_is_listed_and_revoked_like_a_token(web1: Hosted) -> None:
    folder = web1.certified()
    number = web1.gateway.entries("certificate.issue")[-1]["token"]
    own = web1.gateway.mint()
    assert number in [one["id"] for one in web1.gateway.api("/api/v1/tokens?live=true", own).json()["tokens"]]
    assert web1.gateway.send("DELETE", f"/api/v1/tokens/{number}", own, {}).status_code == 200
    assert web1.by_name("web1", "true", folder=folder).returncode == 255


# What does not let in ---------------------------------------------------------------------------------------------------


class Forger:
    """Somebody with an authority's key, and a key of their own that a good certificate was given for."""

    def __init__(self, web1: Hosted) -> None:
        self.web1, self.folder = web1, web1.certified()
        self.key = asyncssh.read_private_key(self.folder / "id_ed25519")
        self.real: Any = asyncssh.read_certificate(self.folder / "id_ed25519-cert.pub")
        self.authority = asyncssh.read_private_key(web1.gateway.home / "keys" / "ssh_user_authority")

    def user(self, **changes: Any) -> asyncssh.SSHCertificate:
        authority = changes.pop("authority", self.authority)
        said = {"key_id": self.real._key_id, "serial": self.real._serial, "principals": ["web1"], "valid_before": "+1h"}
        return authority.generate_user_certificate(self.key, **(said | changes))  # type: ignore[no-any-return]

    async def is_let_in(self, certificate: asyncssh.SSHCertificate, user: str = "web1") -> bool:
        try:
            async with asyncssh.connect(
                "127.0.0.1", self.web1.gateway.ssh_port, username=user, client_keys=[(self.key, certificate)],
                known_hosts=str(self.web1.known_hosts), config=None, agent_path=None, password_auth=False, kbdint_auth=False,
            ):  # fmt: skip
                return True
        except asyncssh.PermissionDenied:
            return False


async def test_the_real_certificate_lets_in(web1: Hosted) -> None:
    forger = Forger(web1)
    assert await forger.is_let_in(forger.real)
    assert await forger.is_let_in(forger.real, "deploy%web1")


async def test_a_certificate_of_another_authority_is_none(web1: Hosted) -> None:
    forger = Forger(web1)
    assert not await forger.is_let_in(forger.user(authority=asyncssh.generate_private_key("ssh-ed25519")))


async def test_a_stolen_authority_alone_opens_nothing(web1: Hosted) -> None:
    forger = Forger(web1)
    assert not await forger.is_let_in(forger.user())  # the same key, key id and serial number as the real one
    assert "not known here" in refusal(web1)


async def test_a_certificate_that_is_over_or_not_yet_good_is_none(web1: Hosted) -> None:
    forger, now = Forger(web1), int(time.time())
    assert not await forger.is_let_in(forger.user(valid_after=now - 7_200, valid_before=now - 3_600))
    assert "expired" in refusal(web1)
    assert not await forger.is_let_in(forger.user(valid_after=now + 3_600, valid_before=now + 7_200))
    assert "not yet valid" in refusal(web1)


async def test_a_host_certificate_is_none_for_a_user(web1: Hosted) -> None:
    forger = Forger(web1)
    assert not await forger.is_let_in(forger.authority.generate_host_certificate(forger.key, "web1", principals=["web1"]))
    authority = asyncssh.read_private_key(web1.gateway.home / "keys" / "ssh_host_authority")
    assert not await forger.is_let_in(forger.user(authority=authority))


async def test_a_certificate_for_another_target_or_for_none_is_none(web1: Hosted) -> None:
    forger = Forger(web1)
    assert not await forger.is_let_in(forger.real, "web2")
    assert "principal" in refusal(web1)
    assert not await forger.is_let_in(forger.user(principals=[]))
    assert "names no targets" in refusal(web1)


async def test_a_certificate_without_its_key_is_none(web1: Hosted) -> None:
    forger = Forger(web1)
    seen = len(web1.gateway.entries("session.refuse"))
    forger.key = asyncssh.generate_private_key("ssh-ed25519")
    with pytest.raises(ValueError, match=r"[Mm]ismatch"):
        await forger.is_let_in(forger.real)
    folder = make_key(web1.folder / "other").parent
    (folder / "other-cert.pub").write_bytes((forger.folder / "id_ed25519-cert.pub").read_bytes())
    options = ["-o", f"CertificateFile={folder}/other-cert.pub", "-i", str(folder / "other"), "-o", "BatchMode=yes"]
    assert web1.ssh("true", options=options).returncode == 255
    assert len(web1.gateway.entries("session.refuse")) == seen


def test_plain_keys_prove_nothing_and_leave_room_for_the_token(web1: Hosted) -> None:
    options = [word for number in range(8) for word in ("-i", str(make_key(web1.folder / f"key{number}")))]
    done = web1.ssh("echo in", options=options)
    assert (done.returncode, done.stdout) == (0, b"in\n")


def test_only_whom_a_host_is_open_to_gets_a_certificate_for_it(web1: Hosted) -> None:
    token, public = web1.gateway.mint(), Path(f"{make_key(web1.folder / 'key')}.pub").read_text()
    ask = lambda **body: web1.gateway.send("POST", "/api/v1/ssh/certificates", token, body)  # noqa: E731
    assert ask(public_key=public, targets=["web2"]).status_code == 403
    assert ask(public_key=public, targets=["shop"]).status_code == 403
    assert ask(public_key=public, targets=["web1"]).json()["principals"] == ["web1"]
    assert ask(public_key="ssh-ed25519 AAAA").status_code == 400


def test_no_log_has_key_or_certificate(web1: Hosted) -> None:
    folder = web1.certified()
    assert web1.by_name("web1", "true", folder=folder).returncode == 0
    authority = (web1.gateway.home / "keys" / "ssh_user_authority").read_text().splitlines()[1]
    line = (folder / "id_ed25519-cert.pub").read_text().split()[1]
    for text in (web1.gateway.log, json.dumps(web1.gateway.entries("certificate.issue", "session.open"))):
        assert authority not in text
        assert line[-60:] not in text


# The gateway's own certificate ------------------------------------------------------------------------------------------


def test_a_gateway_that_is_not_vouched_for_is_not_spoken_to(web1: Hosted) -> None:
    folder = web1.certified()
    other = subprocess.run(
        [program("ssh-keygen"), "-y", "-f", str(make_key(web1.folder / "other"))], capture_output=True, text=True, check=True
    ).stdout
    (folder / "known_hosts").write_text(f"@cert-authority [127.0.0.1]:{web1.gateway.ssh_port} {other}")
    done = web1.by_name("web1", "true", folder=folder)
    assert done.returncode == 255
    assert b"Host key verification failed" in done.stderr


def test_the_gateways_key_may_change_under_its_authority(tmp_path: Path, world: World, host: Host) -> None:
    with ring_gateway(tmp_path / "gateway", world, host) as gateway:
        web1 = Hosted(gateway, host, tmp_path)
        folder = web1.certified(token=gateway.gateway_token())
        assert gateway.stop() == 0
        (gateway.home / "keys" / "ssh_host_key").unlink()
        gateway.start()
        assert wait_until(lambda: web1.by_name("web1", "true", folder=folder).returncode == 0, SECONDS)
