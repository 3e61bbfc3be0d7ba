# ruff: noqa: E501 (a table reads best with one row a line)

"""What a command runs, by its words."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatebook.protocols.shell import understood

TOLD = [
    # a command -> the programs that run
    ("ls -l /tmp", ["ls"]),
    ("/usr/bin/ls", ["ls"]),
    ("sh -c 'ls -l | grep x && rm \"a b\"'", ["ls", "grep", "rm"]),
    ("bash -lc 'ls; pwd'", ["ls", "pwd"]),
    ("bash -eo pipefail -c 'ls | wc'", ["ls", "wc"]),
    ("sh -c 'if true; then ls; else false; fi # done'", ["true", "ls", "false"]),
    ("sh -c '(cd /tmp; ls > out 2>&1)'", ["cd", "ls"]),
    ("sh -c 'bash -c \"sh -c ls\"'", ["ls"]),
    ("busybox wget http://x", ["wget"]),
    ("busybox sh -c ls", ["ls"]),
    ("sh -c \"grep '[a\\.]' x\"", ["grep"]),
    ("sh -c 'find . -name \"*.log\"'", ["find"]),
    ("sh -c 'ls *.log'", ["ls"]),
    ("tar xmf - -C /", ["tar"]),
    ("find /tmp -name x", ["find"]),
    ("ip -br addr show dev eth0", ["ip"]),
    ("ssh-keygen -lf key", ["ssh-keygen"]),
    ("sh -c 'test -f [a]'", ["test"]),
]


@pytest.mark.parametrize(("line", "programs"), TOLD)
def test_what_is_written_out_is_understood(line: str, programs: list[str]) -> None:
    run = understood(tuple(shlex.split(line)))
    assert (list(run.programs), run.why) == (programs, "")


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("ls > out", ["out"]),
        ("ls >> '/a b' 2>> err", ["/a b", "err"]),
        ("> a; (df >| b) && echo x 1> c", ["a", "b", "c"]),
        ("ls >& both", ["both"]),
        ("if true; then echo x > /etc/motd; fi > all", ["/etc/motd", "all"]),
        ("sh -c 'ls > deep' > out", ["out", "deep"]),
        ("ls > /dev/null 2>&1 < in", []),
        ("ls", []),
    ],
)
def test_files_that_output_is_led_into_are_told(text: str, files: list[str]) -> None:
    run = understood(("sh", "-c", text))
    assert (run.why, sorted(run.writes)) == ("", sorted(files))


UNTOLD = [
    "sh", "bash -i", "sh script.sh", "sh -s", "bash --rcfile x -c ls", "zsh -c ls", "fish -c ls", "python3 -c 1", "python3.11", "perl -e 1",
    "psql", "awk {}", "vi x", "env ls", "xargs ls", "find . -exec rm {} ;", "nsenter -t 1", "chroot / ls", "sudo ls", "nc -e sh", "busybox",
    "tar cf x --to-command=sh", "tar cf x --to-c=sh", "tar cfI x sh", "tar xf x -I sh", "sh -c 'echo $HOME'", "sh -c 'x=1 ls'",
    "sh -c 'ls `pwd`'", "sh -c 'ls $(pwd)'", "sh -c 'cat <(ls)'", "sh -c 'ls &'", "sh -c 'f() { ls; }; f'", "sh -c 'while true; do ls; done'",
    "sh -c 'eval ls'", "sh -c 'coproc ls'", "sh -c 'find . {-exec,sh}'", "sh -c 'find *'", "sh -c '\"\"\\ls'", "sh -c 'ls \\ x'", "sh -c 'time ls'", "sh -c 'ls > x -l'", "sh -c 'find . > x -exec sh'", "sh -c 'find . 2>&1 -exec sh'", "sh -c '. x'", "sh -c 'curl x | sh'", "sh -c 'alias ls=rm'", "sh -c '{ls,-l}'", "sh -c \"$'ls'\"", "sh -c 'cat <<X\nX'",
    "prlimit rm x", "linux64 rm x", "sh -c 'choom -n 0 -- rm x'", "ip netns exec a rm x", "ip net e a rm x", "ip -b x", "pkexec rm x",
    "ssh-agent rm x", "ssh-keygen -qD ./x.so", "m4 x", "gtar xf x -I sh", "yash -c 'rm x'", "pager x", "ksh -c \"test 'a[\"'$(rm x)'\"]' -eq 0\"",
    "sh -c 'ls\\\nx'", "sh -c '\"ls'", "sh -c 'bash -c \"bash -c \\\"bash -c \\\\\\\"bash -c ls\\\\\\\"\\\"\"'", "sh -c 'l\x1bs'", "\x1bls", "sh -c",
]  # fmt: skip


@pytest.mark.parametrize("line", UNTOLD)
def test_what_hides_its_effect_is_not(line: str) -> None:
    assert understood(tuple(shlex.split(line))).why


@pytest.mark.parametrize("line", ["sh", "bash -c 'ls; sh'", "python3", "sh -c 'echo $x'", "mysql", "vim /etc/passwd"])
def test_a_shell_or_an_interpreter_takes_what_it_is_fed(line: str) -> None:
    assert understood(tuple(shlex.split(line))).takes


def test_a_program_that_reads_data_alone_is_told_from_one_that_may_read_orders() -> None:
    assert not understood(("tar", "xf", "-")).reads
    assert understood(("./server",)).reads


@settings(deadline=None)  # machines are busy
@given(st.lists(st.text(max_size=40), max_size=5))
def test_no_command_makes_it_raise(argv: list[str]) -> None:
    run = understood(tuple(argv))
    assert run.why or run.programs


@settings(deadline=None)  # machines are busy
@given(st.text(alphabet="ls -|&;()<>$`'\"{}\\\n#!*~=x", max_size=60))
def test_no_text_of_a_shell_makes_it_raise(text: str) -> None:
    run = understood(("sh", "-c", text))
    assert run.why or run.programs
