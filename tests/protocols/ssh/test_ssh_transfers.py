"""Commands that carry files, in the form of their clients and in any other."""

from __future__ import annotations

import pytest

from gatebook.model import Reach
from gatebook.protocols.ssh.messages import Start, Terminal
from gatebook.protocols.ssh.reading import read
from gatebook.protocols.ssh.transfers import transfer

SENT = "rsync --server -logDtpre.iLsfxCIvu . "


@pytest.mark.parametrize(
    ("command", "verb", "paths"),
    [
        ("rsync --server -logDtpre.iLsfxCIvu . /srv/app/", "ssh.upload", {"/srv/app"}),
        ("rsync --server -vlHogDtprze.iLsfxCIvu --delete --numeric-ids --partial . app/x", "ssh.upload", {"~/app/x"}),
        ("rsync --server -e.LsfxCIvu --log-format=X --partial . .", "ssh.upload", {"~"}),
        ("rsync --server --sender -logDtpre.iLsfxCIvu . /srv/a /srv/b", "ssh.download", {"/srv/a", "/srv/b"}),
        ("rsync --server --sender -e.LsfxCIvu --bwlimit=10 . /", "ssh.download", {"/"}),
        ("scp -t /srv/app", "ssh.upload", {"/srv/app"}),
        ("scp -v -r -p -d -t -- app", "ssh.upload", {"~/app"}),
        ("scp -f /srv/a", "ssh.download", {"/srv/a"}),
        ("scp -r -p -f /srv/a b", "ssh.download", {"/srv/a", "~/b"}),
        ("scp -t .", "ssh.upload", {"~"}),
    ],
)
def test_a_transfer_is_told_by_its_way_and_its_paths(command: str, verb: str, paths: set[str]) -> None:
    reading = read(Start(command), "deploy")
    assert {(deed.verb, deed.reach) for deed in reading.deeds} == {(verb, Reach.UNKNOWN)}
    assert {deed.facts["path"] for deed in reading.deeds} == paths
    assert reading.deeds[0].facts["words"] == frozenset(command.split())
    assert all(deed.facts["why_unknown"] for deed in reading.deeds)
    assert (reading.fed, reading.text) == (True, command)
    assert reading.opaque is (verb == "ssh.download" and command.startswith("rsync"))


@pytest.mark.parametrize(
    "command",
    [
        SENT + "/srv/../etc", SENT + "..", SENT + "a/../../b", SENT + "//etc", SENT + "/srv/./x", SENT + "/srv//x",
        SENT + "/a /b",
        SENT + "~/x", SENT + "$HOME", SENT + "/srv/*", SENT + "'/srv/x'", SENT + "/srv/a\\ b", SENT + "/srv; id", SENT + "a:b",
        SENT + "/srv\nid", SENT + "/srv > x", SENT + "-x", "rsync --server --daemon . /", "rsync --daemon",
        "rsync -a /srv/ /tmp/",
        "rsync --server -logDtpre.iLsfxCIvu --remove-source-files . /x", "rsync --server -se.LsfxCIvu", "rsync  --server . /x",
        "rsync --server -logDtpre.iLsfxCIvu --log-file=/etc/cron.d/x . /x", "rsync --server -e. --temp-dir=/etc . /x",
        "rsync --server -e/bin/sh . /x", "rsync --server -logDtpLre.iLsfxCIvu . /x", "rsync --server -e.L --write-batch=x . /x",
        "rsync --server -e.L --files-from=/etc/x . /x", "rsync --server -e.L --sender . /x",
        "/usr/bin/rsync --server -e.L . /x",
        "scp -t", "scp -f", "scp -t -f /x", "scp -t /a /b", "scp -S /bin/sh -t /x", "scp -o X -t /x", "scp -tr /x", "scp /a /b",
        "scp -f /srv/../x", "scp -t ../x", "scp -f a:b", "scp -f ~eve/x", "scp -t /x -r", "scp -F x -t y",
    ],
)  # fmt: skip
def test_any_other_form_is_a_command_that_may_run_others(command: str) -> None:
    assert transfer(command) is None
    (deed,) = read(Start(command), "deploy").deeds
    assert (deed.verb, deed.reach, deed.facts["path"]) == ("ssh.exec", Reach.UNKNOWN, "")


def test_with_a_terminal_it_is_a_command() -> None:
    (deed,) = read(Start("scp -t /srv", Terminal("xterm", 80, 24)), "deploy").deeds
    assert deed.verb == "ssh.exec"
