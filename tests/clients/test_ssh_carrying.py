"""rsync, and scp as it was before SFTP, through a gateway to a real OpenSSH server."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator

import pytest
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosted import SECONDS, Hosted, ring_gateway
from tests.testbed.hosts import Host, program

pytestmark = pytest.mark.real

EMAIL, HIDDEN = b"ada.brown@example.com", b"*********@example.com"
RULES = """
@id("files-alone") @reason("files are carried here, and nothing is run")
forbid (principal, action == Action::"ssh.exec", resource);
@id("no-uploads-of-ci") @reason("jobs fetch only") forbid (principal, action == Action::"ssh.upload", resource)
when { principal.kind == "ci" };
@id("closed-folder") @reason("that folder is closed")
forbid (principal, action in [Action::"ssh.upload", Action::"ssh.download"], resource)
when { context.path like "*/closed*" };
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, host: Host) -> Iterator[LiveGateway]:
    with ring_gateway(tmp_path_factory.mktemp("ssh"), world, host, policies={"files": RULES}) as gateway:
        yield gateway


def rsync(web1: Hosted, *words: str, token: str | None = None) -> subprocess.CompletedProcess[bytes]:
    argv = ["rsync", "-e", shlex.join([program("ssh"), *web1.options()]), *words]
    return subprocess.run(argv, capture_output=True, env=web1.environment(token), timeout=SECONDS)


def scp(web1: Hosted, *words: str, token: str | None = None) -> subprocess.CompletedProcess[bytes]:
    argv = [program("scp"), "-O", *web1.options(), *words]
    return subprocess.run(argv, capture_output=True, env=web1.environment(token), timeout=SECONDS)


def verbs(web1: Hosted) -> list[tuple[str, str]]:
    return [(one["verb"], one["ruling"]) for one in web1.actions()]


def test_rsync_sends_a_tree_and_sends_what_changed_and_takes_away_what_is_gone(web1: Hosted) -> None:
    there, here = web1.folder / "there", web1.folder / "here"
    (here / "below").mkdir(parents=True)
    data = os.urandom(2_000_000)
    (here / "large").write_bytes(data)
    (here / "below" / "small").write_bytes(b"small\n")
    done = rsync(web1, "-avz", f"{here}/", f"127.0.0.1:{there}/")
    assert done.returncode == 0, done.stderr
    assert ((there / "large").read_bytes(), (there / "below" / "small").read_bytes()) == (data, b"small\n")
    assert verbs(web1) == [("ssh.upload", "allow")]
    changed = data[:1_000_000] + b"changed" + data[1_000_000:]
    (here / "large").write_bytes(changed)
    (here / "below" / "small").unlink()
    assert rsync(web1, "-a", "--delete", "--checksum", f"{here}/", f"127.0.0.1:{there}/").returncode == 0
    assert (there / "large").read_bytes() == changed
    assert not (there / "below" / "small").exists()


def test_rsync_fetches_a_tree(web1: Hosted) -> None:
    there, here = web1.folder / "there", web1.folder / "here"
    there.mkdir()
    for number in range(40):
        (there / f"f{number}").write_bytes(b"line of %d\n" % number * 500)
    done = rsync(web1, "-a", f"127.0.0.1:{there}/", f"{here}/")
    assert done.returncode == 0, done.stderr
    assert {one.name: one.read_bytes() for one in here.iterdir()} == {one.name: one.read_bytes() for one in there.iterdir()}
    assert verbs(web1) == [("ssh.download", "allow")]


def test_what_rsync_fetches_never_holds_what_is_covered(web1: Hosted) -> None:
    there = web1.folder / "there"
    there.mkdir()
    (there / "customers.csv").write_bytes(b"id,email\n1," + EMAIL + b"\n")
    rsync(web1, "-a", f"127.0.0.1:{there}/", f"{web1.folder}/here/")
    found = web1.folder / "here" / "customers.csv"
    assert not found.exists() or EMAIL not in found.read_bytes()


def test_scp_without_sftp_carries_files_both_ways(web1: Hosted) -> None:
    data = os.urandom(2_000_000)
    (web1.folder / "from").write_bytes(data)
    assert scp(web1, str(web1.folder / "from"), f"127.0.0.1:{web1.folder}/to").returncode == 0
    assert (web1.folder / "to").read_bytes() == data
    assert verbs(web1) == [("ssh.upload", "allow")]
    (web1.folder / "text").write_bytes(b"plain\n" * 200_000 + EMAIL + b"\n")
    assert scp(web1, f"127.0.0.1:{web1.folder}/text", f"{web1.folder}/back").returncode == 0
    assert (web1.folder / "back").read_bytes() == b"plain\n" * 200_000 + HIDDEN + b"\n"
    assert verbs(web1) == [("ssh.download", "allow")]


def test_ways_and_paths_are_refused_apart(web1: Hosted) -> None:
    (web1.folder / "closed").mkdir()
    (web1.folder / "from").write_text("x")
    job = web1.gateway.mint(sub="job-1", kind="ci")
    done = rsync(web1, "-a", f"{web1.folder}/from", f"127.0.0.1:{web1.folder}/to", token=job)
    assert b"blocked by no-uploads-of-ci: jobs fetch only" in done.stderr
    assert not (web1.folder / "to").exists()
    assert scp(web1, f"127.0.0.1:{web1.folder}/from", f"{web1.folder}/to", token=job).returncode == 0
    done = scp(web1, f"{web1.folder}/from", f"127.0.0.1:{web1.folder}/closed/x")
    assert b"blocked by closed-folder" in done.stderr
    assert not (web1.folder / "closed" / "x").exists()


def test_a_path_that_leads_elsewhere_is_a_command_and_decided_as_one(web1: Hosted) -> None:
    (web1.folder / "from").write_text("x")
    done = scp(web1, f"{web1.folder}/from", f"127.0.0.1:{web1.folder}/a/../closed")
    assert b"blocked by files-alone" in done.stderr
    assert verbs(web1) == [("ssh.exec", "block")]
