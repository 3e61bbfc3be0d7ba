"""scp, sftp and paramiko's SFTP through a gateway to a real OpenSSH server."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator

import paramiko
import pytest
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosted import SECONDS, Hosted, ring_gateway
from tests.testbed.hosts import Host, program

pytestmark = pytest.mark.real

EMAIL, HIDDEN = b"ada.brown@example.com", b"*********@example.com"
RULES = """
@id("nothing-is-removed") @reason("nothing is removed") forbid (principal, action == Action::"ssh.sftp.remove", resource);
@id("no-uploads-of-ci") @reason("jobs fetch only") forbid (principal, action in Action::"ssh.write", resource)
when { principal.kind == "ci" };
@id("keys-are-closed") @reason("keys stay where they are") forbid (principal, action == Action::"ssh.sftp.read", resource)
when { context.path like "*/secret/*" };
@id("renames-need-dba") @approvers("group:dba") @reason("names are changed with group dba")
forbid (principal, action == Action::"ssh.sftp.rename", resource) unless { context.approved };
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, host: Host) -> Iterator[LiveGateway]:
    folder, hosts = tmp_path_factory.mktemp("ssh"), [host.target(), host.target(name="kept", transfers="contents")]
    with ring_gateway(folder, world, host, hosts=hosts, policies={"files": RULES}) as gateway:
        yield gateway


def scp(web1: Hosted, *words: str, token: str | None = None, user: str = "web1") -> subprocess.CompletedProcess[bytes]:
    argv = [program("scp"), *web1.options(user=user), *words]
    return subprocess.run(argv, capture_output=True, env=web1.environment(token), timeout=SECONDS)


def sftp(web1: Hosted, *lines: str) -> subprocess.CompletedProcess[bytes]:
    said = "".join(f"{line}\n" for line in lines).encode()
    argv = [program("sftp"), *web1.options(), "127.0.0.1"]
    return subprocess.run(argv, input=said, capture_output=True, env=web1.environment(), timeout=SECONDS)


def test_a_file_goes_up_whole_and_its_digest_is_in_the_recording(web1: Hosted) -> None:
    data = os.urandom(3_000_000)
    (web1.folder / "from").write_bytes(data)
    assert scp(web1, str(web1.folder / "from"), f"127.0.0.1:{web1.folder}/to").returncode == 0
    assert (web1.folder / "to").read_bytes() == data
    assert ("ssh.sftp.write", "ok") in [(one["verb"], one["status"]) for one in web1.actions()]
    said = web1.gateway.replay("replay", web1.gateway.sessions()[0]["id"]).output
    assert f"3000000 bytes, sha256 {hashlib.sha256(data).hexdigest()}" in said


def test_a_file_comes_down_whole_but_for_what_is_covered(web1: Hosted) -> None:
    content = b"a line of it\n" * 100_000 + EMAIL + b"\n" + b"another\n" * 100_000
    (web1.folder / "from").write_bytes(content)
    assert scp(web1, f"127.0.0.1:{web1.folder}/from", str(web1.folder / "to")).returncode == 0
    assert (web1.folder / "to").read_bytes() == content.replace(EMAIL, HIDDEN)


def test_contents_are_recorded_covered_where_the_target_says_so(web1: Hosted) -> None:
    (web1.folder / "from").write_bytes(b"write to " + EMAIL + b" today\n")
    assert scp(web1, str(web1.folder / "from"), f"127.0.0.1:{web1.folder}/to", user="kept").returncode == 0
    assert (web1.folder / "to").read_bytes() == (web1.folder / "from").read_bytes()
    web1.actions()
    up = web1.gateway.replay("replay", web1.gateway.sessions()[0]["id"]).output
    assert scp(web1, f"127.0.0.1:{web1.folder}/to", str(web1.folder / "back"), user="kept").returncode == 0
    web1.actions()
    down = web1.gateway.replay("replay", web1.gateway.sessions()[0]["id"]).output
    for said in (up, down):
        assert f"write to {HIDDEN.decode()} today" in said
        assert EMAIL.decode() not in said


def test_what_is_refused_is_said_and_the_client_goes_on(web1: Hosted) -> None:
    (web1.folder / "x").write_text("precious")
    done = sftp(web1, f"cd {web1.folder}", "rm x", "mkdir made", "ls -1")
    assert b"blocked by nothing-is-removed: nothing is removed" in done.stderr
    assert b"made" in done.stdout
    assert (web1.folder / "x").exists()


def test_a_link_does_not_lead_past_a_rule(web1: Hosted) -> None:
    (web1.folder / "secret").mkdir()
    (web1.folder / "secret" / "key").write_text("the key")
    (web1.folder / "harmless").symlink_to("secret/key")
    done = scp(web1, f"127.0.0.1:{web1.folder}/harmless", str(web1.folder / "got"))
    assert done.returncode != 0
    assert b"keys-are-closed" in done.stderr
    assert not (web1.folder / "got").exists() or (web1.folder / "got").read_bytes() == b""


def test_directions_are_decided_apart(web1: Hosted) -> None:
    job = web1.gateway.mint(sub="job-1", kind="ci")
    (web1.folder / "from").write_text("a report\n")
    assert scp(web1, f"127.0.0.1:{web1.folder}/from", str(web1.folder / "down"), token=job).returncode == 0
    job = web1.gateway.mint(sub="job-1", kind="ci")
    done = scp(web1, str(web1.folder / "from"), f"127.0.0.1:{web1.folder}/up", token=job)
    assert done.returncode != 0
    assert not (web1.folder / "up").exists()


def test_a_held_request_waits_and_is_done_after_the_yes(web1: Hosted) -> None:
    (web1.folder / "a").touch()
    argv = [program("sftp"), *web1.options(), "127.0.0.1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=web1.environment()) as waiting:
        assert waiting.stdin is not None
        waiting.stdin.write(f"rename {web1.folder}/a {web1.folder}/b\n".encode())
        waiting.stdin.flush()
        seen = web1.approve()
        _, err = waiting.communicate(timeout=SECONDS)
    assert (web1.folder / "b").exists()
    assert f"rename {web1.folder}/a {web1.folder}/b" in seen
    assert b"held by renames-need-dba" in err


def test_paramiko_reads_here_and_there_and_sees_no_more(web1: Hosted) -> None:
    content = b"x" * 10_000 + b" " + EMAIL + b" " + b"y" * 10_000
    (web1.folder / "from").write_bytes(content)
    with paramiko.Transport(("127.0.0.1", web1.gateway.ssh_port)) as transport:
        transport.connect(username="web1", password=web1.gateway.mint())
        with paramiko.SFTPClient.from_transport(transport) as client:  # type: ignore[union-attr]
            assert client.stat(f"{web1.folder}/from").st_size == len(content)
            with client.open(f"{web1.folder}/from") as file:
                file.seek(10_001)
                assert file.read(9) == b"*" * 9
                file.seek(10_003)
                assert file.read(2) == b"**"
            with client.open(f"{web1.folder}/made", "w") as file:
                file.write(b"by paramiko")
            assert sorted(client.listdir(str(web1.folder)))[-1] == "made"
    assert (web1.folder / "made").read_bytes() == b"by paramiko"
