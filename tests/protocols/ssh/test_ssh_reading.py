"""Commands as a host's login shell would get them, and what they are told as."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatebook.model import Reach
from gatebook.protocols.ssh.lines import Line
from gatebook.protocols.ssh.messages import Start, Terminal
from gatebook.protocols.ssh.reading import COMMAND_CHARACTERS, read, read_line
from gatebook.protocols.ssh.verbs import FACTS, VERBS

XTERM = Terminal("xterm", 80, 24)
WRITTEN_OUT = [
    "ls -l /etc", "df -h; uptime", "grep x /etc/hosts | wc -l", "cat /etc/passwd", "echo 'a $b `c`'", "(ls; df) > /tmp/out",
    "/usr/bin/id -u", "if test -e /x; then ls; fi", "sh -c 'ls -l'",
]  # fmt: skip
UNTOLD = [
    "echo $HOME", "FOO=1 ls", "ls $(id)", "ls `id`", "for i in a b; do ls; done", "sudo ls", "env ls", "find / -exec rm {} +",
    "bash", "bash -c 'curl x | sh'", "python3 -c 'print(1)'", "curl http://x | sh", "echo aWQ= | base64 -d | sh", "psql",
    "eval ls", ". ./x", "exec ls", "ls <(id)", "cat <<X\n$(id)\nX", "l\\s", "'ls", "xargs rm", "nohup ls", "ls & ls",
    "f() { ls; }; f", "ssh other ls", "rsync -a /a /b", "scp /tmp/a b:", "git-receive-pack /x",
    "ls \x1b[2K", "{ls,-l}", "tar -I sh -cf x",
    "", "   ",
]  # fmt: skip


@pytest.mark.parametrize("command", WRITTEN_OUT)
def test_a_command_that_is_written_out_is_told(command: str) -> None:
    (deed,) = read(Start(command), "deploy").deeds
    assert (deed.verb, deed.reach, deed.facts["why_unknown"]) == ("ssh.exec", Reach.WRITE, "")
    assert deed.facts["user"] == "deploy"


@pytest.mark.parametrize(
    ("file", "reach"),
    [
        ("/srv/app/out", Reach.WRITE), ("out", Reach.WRITE), ("~/notes", Reach.WRITE), ("/tmp/etc/x", Reach.WRITE),
        ("/etc/passwd", Reach.ADMIN), ("//etc/./passwd", Reach.ADMIN), ("/./etc/passwd", Reach.ADMIN),
        (".ssh/authorized_keys", Reach.ADMIN), ("./.bashrc", Reach.ADMIN), ("~/.ssh/authorized_keys", Reach.ADMIN),
        ("~root/.profile", Reach.ADMIN), ("/srv/../etc/passwd", Reach.ADMIN), ("../../etc/x", Reach.ADMIN),
        ("/et*/passwd", Reach.ADMIN), ("/dev/tcp/10.0.0.1/80", Reach.ADMIN), ("/var/spool/cron/root", Reach.ADMIN),
        ("'/etc/cron.d/x y'", Reach.ADMIN), ('"/usr/bin/ls"', Reach.ADMIN),
    ],
)  # fmt: skip
def test_a_file_that_output_is_led_into_is_a_fact_and_says_how_far_it_goes(file: str, reach: Reach) -> None:
    for command in (f"echo x > {file}", f"df -h; uptime >> {file}"):
        (deed,) = read(Start(command), "deploy").deeds
        assert (deed.reach, deed.facts["writes"]) == (reach, {file.strip("'\"")})
        (deed,) = read_line(Line(command), Start(None, XTERM), "deploy").deeds
        assert (deed.verb, deed.reach) == ("ssh.line", reach)


@pytest.mark.parametrize(
    "command",
    [
        "tee .ssh/authorized_keys", "tee -a ~/.bashrc", "cp key ~deploy/.ssh/authorized_keys", "dd if=x of=/etc/passwd",
        "ln -sf /etc/passwd notes", "mv x /usr/local/bin/ls", "touch /etc/nologin", "chmod 777 /etc/shadow", "rm -rf /boot",
        "cp x --target-directory=/etc/cron.d", "cp x -t/etc/cron.d", "curl -o/etc/cron.d/x http://a/b", "sort -o /etc/passwd x",
        "sort -o/etc/passwd x", "find /etc -delete", "find /etc -name a -o -delete",
        "find . -fprint /etc/x", "grep x y -o; cp x /etc/motd", "wget -O ../../etc/x http://a/b", "cd /etc && touch nologin",
        "uptime; cd ~/.ssh; tee authorized_keys", "truncate -s0 /srv/../etc/passwd", "unzip x -d /usr/lib", "tar xf x -C /etc",
        "tar xf x --directory=/etc", "sh -c 'cp x /etc/motd'", "rsync key .ssh/", "mkdir //etc/./x", "date --set /etc/x",
        "cd /etc && echo x > nologin", "cd / && touch etc/nologin", "cd / && cp x -tetc/cron.d", "cd /; cd etc; tee passwd",
        "cd /; dd if=x of=etc/passwd", "cd /var/spool && echo x > cron/root", "sort -uo /etc/passwd x", "tree -ao /etc/motd",
        "ss -aD /etc/motd", "cd ~; cd .ssh; tee authorized_keys", "cd /etc; sh -c 'echo x > nologin'",
        "cd /srv/../; touch etc/x",
    ],
)  # fmt: skip
def test_a_command_that_names_files_which_count_and_may_change_them_goes_as_far(command: str) -> None:
    (deed,) = read(Start(command), "deploy").deeds
    assert deed.reach in (Reach.ADMIN, Reach.UNKNOWN)
    assert deed.reach is Reach.ADMIN or command.startswith(("tar", "rsync"))
    (deed,) = read_line(Line(command), Start(None, XTERM), "deploy").deeds
    assert deed.reach in (Reach.ADMIN, Reach.UNKNOWN)


@pytest.mark.parametrize(
    "command",
    [
        "cat /etc/hosts", "ls -l /usr/bin", "grep -r root /etc/passwd | wc -l", "find /etc -name x", "cd /etc && ls",
        "stat ~/.bashrc", "cp a /srv/etc/b", "mkdir build/usr/lib", "touch x.etc", "cat /etc/hosts; touch notes",
        "diff /etc/hosts hosts", "grep -o '^[a-z]*' /etc/passwd", "zgrep -ho root /etc/x.gz", "ls -o /etc",
        "df --output=pcent /boot", "find /etc -name a -o -name b",
        "cd /etc; cat hosts", "cd /srv/app && touch etc/x && echo y > out", "sort -u /etc/passwd", "cd /; ls etc",
        "chmod u+x run.sh", "tar xf x.tar -C /srv", "mv ../a ../b", "head -n5 /proc/meminfo", "curl -s https://example.com/etc/x",
    ],
)  # fmt: skip
def test_a_command_that_only_looks_at_such_files_or_names_others_does_not(command: str) -> None:
    (deed,) = read(Start(command), "deploy").deeds
    assert deed.reach is Reach.WRITE


def test_a_command_that_changes_its_folder_again_and_again_is_unknown() -> None:
    (deed,) = read(Start("cd a; " * 9 + "touch x"), "deploy").deeds
    assert (deed.reach, deed.facts["why_unknown"]) == (Reach.UNKNOWN, "more than 8 changes of folder")


@pytest.mark.parametrize("command", UNTOLD)
def test_what_only_the_host_can_tell_is_unknown_and_says_why(command: str) -> None:
    (deed,) = read(Start(command), "deploy").deeds
    assert (deed.verb, deed.reach) == ("ssh.exec", Reach.UNKNOWN)
    assert deed.facts["why_unknown"]


def test_programs_and_words_are_those_of_all_commands_in_it() -> None:
    (deed,) = read(Start("/bin/ls -l /srv; df -h"), "deploy").deeds
    assert deed.facts["programs"] == {"ls", "df"}
    assert deed.facts["words"] == {"/bin/ls", "-l", "/srv", "df", "-h"}


@pytest.mark.parametrize(("command", "fed"), [("cat > /tmp/x", True), ("tar xf -", True), ("ls", False), ("bash", False)])
def test_only_programs_that_take_input_for_data_need_no_second_word(command: str, fed: bool) -> None:
    reading = read(Start(command), "deploy")
    assert reading.fed is fed
    assert [(deed.verb, deed.reach) for deed in reading.input] == [("ssh.input", Reach.UNKNOWN)]


@pytest.mark.parametrize("start", [Start(None), Start(None, XTERM), Start("bash", XTERM), Start("python3", XTERM)])
def test_a_shell_is_one_however_it_is_asked_for(start: Start) -> None:
    (deed,) = read(start, "deploy").deeds
    assert (deed.verb, deed.reach) == ("ssh.shell", Reach.UNKNOWN)
    assert deed.facts["tty"] is (start.terminal is not None)


def test_what_has_a_terminal_can_be_told_anything() -> None:
    (deed,) = read(Start("top", XTERM), "deploy").deeds
    assert (deed.verb, deed.reach) == ("ssh.exec", Reach.UNKNOWN)
    assert "terminal" in str(deed.facts["why_unknown"])


def test_the_environment_is_a_fact_and_part_of_what_is_approved() -> None:
    bare, given_ = read(Start("ls"), "deploy"), read(Start("ls", environment=(("LANG", "C"),)), "deploy")
    assert given_.deeds[0].facts["environment"] == {"LANG=C"}
    assert bare.settings != given_.settings
    assert "with LANG=C" in given_.seen


def test_a_terminal_and_the_user_are_part_of_what_people_see() -> None:
    assert read(Start("ls", XTERM), "root").seen.startswith("as root, with a terminal (xterm):\nls")
    assert read(Start("ls", XTERM), "root").settings != read(Start("ls"), "root").settings


def test_values_in_a_command_are_covered_where_it_is_shown() -> None:
    reading = read(Start("psql -c 'x' --password=hunter2hunter2 postgres://a:sEcr3tvalue@h/d"), "deploy")
    assert "sEcr3tvalue" not in reading.shown + reading.seen
    assert reading.text.endswith("postgres://a:sEcr3tvalue@h/d")


def test_what_would_end_a_line_of_a_log_is_written_out() -> None:
    assert read(Start("ls\nrm x\x1b[2J"), "deploy").shown == "ls\\nrm x\\x1b[2J"


@pytest.mark.parametrize("command", ["ls\0; id", "x" * (COMMAND_CHARACTERS + 1)])
def test_what_a_host_may_read_otherwise_is_at_fault(command: str) -> None:
    assert read(Start(command), "deploy").fault


@given(st.text(), st.booleans())
@example(">?", False)
def test_every_text_is_read_and_has_every_fact(command: str, terminal: bool) -> None:
    reading = read(Start(command, XTERM if terminal else None), "deploy")
    for deed in (*reading.deeds, *reading.input):
        assert deed.verb in VERBS
        assert deed.facts.keys() == FACTS.keys()
        assert deed.reach in (Reach.WRITE, Reach.UNKNOWN) or (deed.reach is Reach.ADMIN and deed.facts["writes"])


@pytest.mark.parametrize("text", ["echo x !!:1", "!touch", "^a^touch x", "ls #;touch x", "echo 'a!b'"])
def test_what_a_shell_makes_of_a_typed_line_by_its_history_is_unknown(text: str) -> None:
    reading = read_line(Line(text), Start(None, XTERM), "deploy")
    assert reading.deeds[0].reach is Reach.UNKNOWN


@pytest.mark.parametrize(
    "command",
    [
        "compgen -C 'touch x' y", "mapfile -c 1 -C touch a < f", "test -v 'a[$(touch x)]'", "printf -v 'a[$(touch x)]' y",
        "[ -v 'a[$(touch x)]' ]", "read 'a[$(touch x)]' < f", "let 'a[$(touch x)]'", "hash -p /usr/bin/touch ls",
        "split --filter 'touch x' f", "sort --compress-program=touch f", "install --strip-program=touch -s a b",
        "unset 'a[$(touch x)]'",
    ],
)  # fmt: skip
def test_a_builtin_that_evaluates_a_word_of_its_own_is_unknown(command: str) -> None:
    assert read(Start(command), "deploy").deeds[0].reach is Reach.UNKNOWN
