"""OpenSSH's clients, paramiko and asyncssh through a gateway to a real OpenSSH server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import asyncssh
import paramiko
import pytest
from tests.testbed.gateways import LiveGateway, World
from tests.testbed.hosted import SECONDS, Hosted, ring_gateway
from tests.testbed.hosts import Host, program

from gatebook.cli.demo.processes import wait_until

pytestmark = pytest.mark.real

EMAIL, HIDDEN = "ada.brown@example.com", "*********@example.com"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, world: World, host: Host) -> Iterator[LiveGateway]:
    with ring_gateway(tmp_path_factory.mktemp("ssh"), world, host) as gateway:
        yield gateway


# Commands ---------------------------------------------------------------------------------------------------------------


def test_a_command_runs_with_its_streams_and_status(web1: Hosted) -> None:
    done = web1.ssh("echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    (action,) = web1.actions()
    assert (action["verb"], action["ruling"], action["status"]) == ("ssh.exec", "allow", "exit 3")


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("", b"aes128-gcm@openssh.com"),
        ("aes256-ctr,aes256-gcm@openssh.com", b"aes256-gcm@openssh.com"),
        ("chacha20-poly1305@openssh.com,aes192-ctr", b"aes192-ctr"),
    ],
)
def test_the_cheapest_cipher_that_openssh_has_is_taken(web1: Hosted, offered: str, chosen: bytes) -> None:
    done = web1.ssh("echo there", options=["-v", *(["-c", offered] if offered else [])])
    assert (done.returncode, done.stdout) == (0, b"there\n")
    assert done.stderr.count(b"cipher: " + chosen) == 2, done.stderr


def test_a_client_without_any_of_the_ciphers_hears_so(web1: Hosted) -> None:
    done = web1.ssh("echo there", options=["-c", "chacha20-poly1305@openssh.com"])
    assert done.returncode == 255
    assert b"no matching cipher found" in done.stderr, done.stderr


def test_a_connection_goes_on_when_keys_are_made_anew(web1: Hosted) -> None:
    data = os.urandom(3_000_000)
    assert web1.ssh("wc -c", stdin=data, options=["-o", "RekeyLimit=1M"]).stdout.strip() == b"3000000"


def test_input_reaches_what_takes_it_for_data_and_its_end_too(web1: Hosted) -> None:
    data = os.urandom(3_000_000)
    assert web1.ssh("wc -c", stdin=data).stdout.strip() == b"3000000"
    assert [one["verb"] for one in web1.actions()] == ["ssh.exec"]


def test_large_output_comes_whole(web1: Hosted) -> None:
    wanted = web1.folder / "wanted"
    wanted.write_bytes(b"".join(b"line %d of it\n" % number for number in range(300_000)))
    assert web1.ssh(f"cat {wanted}").stdout == wanted.read_bytes()


def test_output_is_covered_and_the_book_and_recording_have_no_more_than_the_client(web1: Hosted) -> None:
    secret = web1.folder / "customers.csv"
    secret.write_text(f"id,email\n1,{EMAIL}\n")
    assert web1.ssh(f"cat {secret}").stdout.decode() == f"id,email\n1,{HIDDEN}\n"
    latest = web1.gateway.sessions()[0]["id"]
    said = web1.gateway.replay("replay", latest).output
    assert HIDDEN in said
    assert EMAIL not in said
    assert EMAIL.encode() not in web1.gateway.book_bytes()


def test_a_killed_command_is_one_for_its_client(web1: Hosted) -> None:
    assert web1.ssh("kill -KILL $$").returncode == 255
    assert web1.actions()[0]["status"] == "killed by KILL"


def test_a_refused_command_ends_with_77_and_never_reaches_the_host(web1: Hosted) -> None:
    precious = web1.folder / "precious"
    precious.touch()
    done = web1.ssh(f"rm {precious}")
    assert (done.returncode, done.stdout) == (77, b"")
    assert done.stderr.startswith(b"gatebook: blocked by no-rm: nothing is removed {")
    assert b'"instead": "Leave it there."' in done.stderr
    assert precious.exists()
    assert [(one["ruling"], one["status"]) for one in web1.actions()] == [("block", None)]


def test_the_environment_that_the_target_takes_reaches_the_host_and_no_more(web1: Hosted) -> None:
    options = ["-o", "SetEnv=LC_GATEBOOK=yes SECRET=no"]
    assert web1.ssh("env", options=options).stdout.count(b"LC_GATEBOOK=yes") == 1
    assert b"SECRET" not in web1.ssh("env", options=options).stdout


def test_a_role_is_asked_for_in_the_users_name(web1: Hosted) -> None:
    assert web1.ssh("id -un", user="deploy%web1").stdout.decode().strip() == web1.host.user


# Input ------------------------------------------------------------------------------------------------------------------


def test_a_script_on_input_is_decided_as_input(web1: Hosted) -> None:
    assert web1.ssh("sh", stdin=b"echo from the script\n").stdout == b"from the script\n"
    assert [(one["verb"], one["status"]) for one in web1.actions()] == [("ssh.exec", "exit 0"), ("ssh.input", "passed")]


def test_refused_input_does_not_reach_the_host(web1: Hosted) -> None:
    trace = web1.folder / "trace"
    done = web1.ssh("perl", stdin=f"open F, '>', '{trace}'; print 'ran'".encode())
    assert b"blocked by no-scripts" in done.stderr
    assert done.stdout == b""
    assert not trace.exists()


# Held -------------------------------------------------------------------------------------------------------------------


def test_a_held_command_waits_and_runs_after_the_yes(web1: Hosted) -> None:
    made = web1.folder / "made"
    waiting = web1.open_ssh(f"touch {made}")
    seen = web1.approve()
    _, err = waiting.communicate(timeout=SECONDS)
    assert (waiting.returncode, made.exists()) == (0, True)
    assert seen == f"as {web1.host.user}:\ntouch {made}"
    assert b"held by touch-needs-dba: files are made with group dba" in err
    assert b"/approvals/" in err


def test_a_denied_command_never_runs(web1: Hosted) -> None:
    made = web1.folder / "made"
    waiting = web1.open_ssh(f"touch {made}")
    web1.approve(approved=False)
    _, err = waiting.communicate(timeout=SECONDS)
    assert (waiting.returncode, made.exists()) == (77, False)
    assert b"denied" in err


def test_a_client_that_leaves_while_it_waits_withdraws(web1: Hosted) -> None:
    made = web1.folder / "made"
    waiting = web1.open_ssh(f"touch {made}")
    token = web1.gateway.mint(sub="dana", kind="person", groups=["dba"])

    def held() -> int:
        return len(web1.gateway.api("/api/v1/approvals?state=open", token).json()["approvals"])

    assert wait_until(lambda: held() == 1, SECONDS)
    waiting.kill()
    waiting.communicate()
    assert wait_until(lambda: held() == 0, SECONDS)
    assert not made.exists()


# Identity ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("token", "rule"), [("no-token", "no-identity"), ("gbt_" + "x" * 43, "no-identity")])
def test_what_proves_nothing_hears_nothing(web1: Hosted, token: str, rule: str) -> None:
    done = web1.ssh("id", token=token)
    assert done.returncode == 255
    assert done.stderr.decode().strip() == "web1@127.0.0.1: Permission denied (publickey,keyboard-interactive,password)."
    assert web1.gateway.entries("session.refuse")[-1]["rule"] == rule


def test_somebody_who_may_not_open_a_target_hears_why(web1: Hosted) -> None:
    done = web1.ssh("id", user="nowhere")
    assert done.returncode == 255
    assert b"gatebook: blocked by not-open-to-you" in done.stderr


def test_a_target_of_another_protocol_is_none_here(web1: Hosted) -> None:
    assert web1.ssh("id", user="shop").returncode == 255


def test_a_gateway_token_that_is_revoked_ends_its_sessions(web1: Hosted) -> None:
    token = web1.gateway.gateway_token()
    running = web1.open_ssh("cat", token=token)
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(b"here\n")
    running.stdin.flush()
    assert running.stdout.readline() == b"here\n"
    own = web1.gateway.mint()
    (live,) = web1.gateway.api("/api/v1/tokens?live=true", own).json()["tokens"]
    assert web1.gateway.send("DELETE", f"/api/v1/tokens/{live['id']}", own, {}).status_code == 200
    assert running.wait(SECONDS) in (77, 255)
    _, err = running.communicate(timeout=SECONDS)
    assert b"your gateway token was revoked" in err


def test_a_killed_session_tells_its_client_why(web1: Hosted) -> None:
    running = web1.open_ssh("cat")
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(b"here\n")
    running.stdin.flush()
    assert running.stdout.readline() == b"here\n"
    answer = web1.gateway.gatebook("sessions", "kill", web1.gateway.sessions()[0]["id"], "--reason", "enough")
    assert answer.status == 0, answer.output
    assert running.wait(SECONDS) in (77, 255)
    _, err = running.communicate(timeout=SECONDS)
    assert b"enough" in err
    web1.actions()
    assert "enough" in web1.gateway.entries("session.close")[-1]["reason"]


# Terminals --------------------------------------------------------------------------------------------------------------


def test_a_shell_has_a_terminal_whose_replay_is_an_asciicast(web1: Hosted) -> None:
    done = web1.ssh(stdin=b"echo mail ada.brown@example.com; tty; exit 4\n", options=["-tt"])
    assert done.returncode == 4
    assert b"/dev/pts/" in done.stdout
    assert b"mail " + HIDDEN.encode() in done.stdout
    (action,) = web1.actions()
    assert (action["verb"], action["text"], action["status"]) == ("ssh.shell", "(a shell)", "exit 4")
    cast = web1.gateway.replay("replay", web1.gateway.sessions()[0]["id"], "--cast", "1")
    assert cast.output.startswith('{"version": 2')
    assert "/dev/pts/" in cast.output


def test_a_shell_may_be_refused_by_its_kind(web1: Hosted) -> None:
    job = web1.gateway.mint(sub="job-1", kind="ci")
    done = web1.ssh(options=["-tt"], token=job)
    assert done.returncode == 77
    assert b"blocked by shells-of-ci" in done.stderr
    assert web1.ssh("id -u", token=web1.gateway.mint(sub="job-1", kind="ci")).returncode == 0


async def test_a_terminals_size_and_its_changes_reach_the_host(web1: Hosted) -> None:
    async with asyncssh.connect(
        "127.0.0.1", web1.gateway.ssh_port, username="web1", password=web1.gateway.mint(),
        known_hosts=str(web1.known_hosts), config=None, agent_path=None, client_keys=None,
    ) as connection:  # fmt: skip
        process = await connection.create_process("stty size; read x; stty size", term_type="xterm", term_size=(100, 30))
        assert (await process.stdout.readline()).strip() == "30 100"
        process.change_terminal_size(90, 20)
        process.stdin.write("go\n")
        rest = await process.stdout.read()
        assert "20 90" in rest


# Many channels, other clients -------------------------------------------------------------------------------------------


def test_many_commands_share_a_connection_and_each_is_decided(web1: Hosted) -> None:
    shared = ["-o", f"ControlPath={web1.folder}/c", "-o", "ControlMaster=auto", "-o", "ControlPersist=60"]
    try:
        assert web1.ssh("echo 1", options=shared).stdout == b"1\n"
        running = [web1.open_ssh(f"echo {number}; cat", options=shared) for number in range(8)]
        said = [one.communicate(b"x", timeout=SECONDS)[0] for one in running]
        assert said == [b"%d\nx" % number for number in range(8)]
        assert web1.ssh("rm x", options=shared).returncode == 77
        late = "exec >&- 2>&-; sleep 1; exit 3"  # a client that shares its connection closes its channel at once
        assert web1.ssh(late, options=shared).returncode == 3
        assert [one["verb"] for one in web1.actions(ended=False)].count("ssh.exec") == 11
    finally:
        argv = [program("ssh"), *web1.options(*shared), "-O", "exit", "127.0.0.1"]
        subprocess.run(argv, capture_output=True, timeout=SECONDS)


def test_paramiko_runs_commands_with_a_token_for_a_password(web1: Hosted) -> None:
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect("127.0.0.1", web1.gateway.ssh_port, "web1", web1.gateway.mint(), allow_agent=False, look_for_keys=False)
        _, out, _ = client.exec_command("echo from paramiko; exit 5")
        assert out.read() == b"from paramiko\n"
        assert out.channel.recv_exit_status() == 5


# Not passed on ----------------------------------------------------------------------------------------------------------


def test_a_subsystem_is_refused_in_words_and_in_the_book(web1: Hosted) -> None:
    done = web1.ssh("-s", "netconf")
    assert done.returncode == 77
    assert b"blocked by not-passed-on: subsystems are not passed on" in done.stderr
    assert [(one["verb"], one["rule"]) for one in web1.actions()] == [("ssh.subsystem", "not-passed-on")]


def test_a_forward_is_refused_and_in_the_book(web1: Hosted) -> None:
    done = web1.ssh(options=["-W", f"127.0.0.1:{web1.host.port}"])
    assert done.returncode == 255
    assert b"forwards are not passed on" in done.stderr
    assert [(one["verb"], one["rule"]) for one in web1.actions()] == [("ssh.forward", "not-passed-on")]


def test_a_listening_forward_is_refused(web1: Hosted) -> None:
    done = web1.ssh("true", options=["-R", "0:127.0.0.1:1", "-o", "ExitOnForwardFailure=yes"])
    assert done.returncode == 255
    assert "ssh.forward" in [one["verb"] for one in web1.actions()]


def test_no_agent_is_forwarded(web1: Hosted) -> None:
    assert web1.ssh("env", options=["-A"]).stdout.count(b"SSH_AUTH_SOCK") == 0
