"""What a command runs, as far as its words tell: which programs with which words, and whether its input says more.

    argv -> the program's name -> a shell's text, parsed by tree-sitter's grammar of bash -> the same for each command in it

The program is known by its name alone; what it does is not. Closed unless proven open: of a shell's text only plain commands,
joined by ``;``, ``&&``, ``||`` and pipes, with words that are written out, are understood. An expansion, a function, an
assignment, a loop, a program that runs others (``env``, ``find -exec``), an interpreter: unknown, and ``why`` says so.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

TEXT_CHARACTERS = 16_384  # of a shell's text
NESTED = 4  # shells in shells
COMMANDS = 200  # of one text

_POSIX = frozenset("sh bash rbash ash dash ksh mksh".split())  # whose plain commands the grammar reads as they do
_SHELLS = _POSIX | frozenset(
    "zsh fish csh tcsh pwsh powershell powershell.exe cmd cmd.exe nu elvish xonsh oil osh posh yash".split()
)
_INTERPRETERS = frozenset(
    "perl ruby irb node nodejs deno bun php lua luajit tclsh wish expect R Rscript julia groovy groovysh jshell scala "
    "erl iex elixir ghci guile racket sbcl clisp gdb lldb awk gawk mawk nawk sed bc dc ed ex vi vim nvim view nano "
    "emacs less more most man psql mysql mariadb mongo mongosh redis-cli valkey-cli sqlite3 cqlsh clickhouse-client "
    "etcdctl influx rabbitmqctl pager editor sensible-pager sensible-editor vimdiff gvim rvim rview pico joe mc mcedit".split()
)
_RUNNERS = frozenset(
    "env nice nohup timeout setsid stdbuf ionice taskset chrt time watch script screen tmux flock strace ltrace tini "
    "dumb-init xargs parallel sudo su doas runuser setpriv capsh gosu su-exec chroot nsenter unshare ssh scp sftp "
    "rsync docker podman crictl ctr nerdctl kubectl oc helm exec command builtin eval source . trap alias enable bind "
    "make at batch crontab git nc ncat netcat socat systemctl systemd-run start-stop-daemon s6-setuidgid run-parts "
    "java dotnet mono go cargo npm npx yarn pnpm pip gem fd zip vdir openssl logrotate busctl dbus-send apt apt-get "
    "dpkg yum dnf rpm apk fc history compgen complete compopt mapfile readarray hash let read set shopt getopts wait "
    "declare typeset local readonly export unset split install "
    "prlimit setarch linux32 linux64 i386 x86_64 uname26 choom pkexec sg newgrp runcon newrole aa-exec numactl cgexec cpulimit "
    "faketime fakeroot fakechroot proot bwrap firejail eatmydata unbuffer rlwrap chronic ifne pee mispipe coreutils ssh-agent "
    "dbus-run-session dbus-launch systemd-cat systemd-inhibit systemd-nspawn machinectl m4 cpio bsdcpio gtar rename prename "
    "file-rename tcpdump mail mailx mutt uv uvx pipx poetry bundle rake mvn gradle cmake ninja ansible terraform tox".split()
)  # builtins of shells that run, keep or evaluate what a word of theirs says among them
_FED = frozenset(
    "tar cat tee dd head tail wc sort uniq grep egrep fgrep cut tr base64 md5sum sha1sum sha256sum sha512sum cksum "
    "gzip gunzip zcat true false".split()
)  # programs that read their input as data
_LOOKING = frozenset(
    "cat tac head tail wc sort grep egrep fgrep zgrep zcat bzcat xzcat zstdcat cut tr nl fold column strings od hexdump cmp "
    "comm diff ls dir stat file find du df tree readlink realpath dirname basename namei test [ echo printf pwd true false "
    "md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cksum base64 which whereis id groups getent ps pgrep "
    "pidof top free uptime uname hostname date who last lsof ss netstat lsblk findmnt getfacl lsattr".split()
)  # programs that change none of the files which words of theirs name
_CHANGING = re.compile(r"-o|--o|-(?:delete|fprint|fls)|--set")  # options by which some of them do
_CHANGING_SHOWN = re.compile(r"-(?:delete|fprint|fls)|--set")  # the same of those whose -o says what they show, or is an or
_SHOWN = frozenset(
    "grep egrep fgrep zgrep find ps lsblk findmnt df ls cut comm column strings hexdump od netstat lsof top".split()
)
_CLUSTERED = {"sort": re.compile(r"-\w*o"), "tree": re.compile(r"-\w*[oR]"), "ss": re.compile(r"-\w*[DK]|--(?:di|k)")}
MOVES = 8  # changes of folder in one text
_VERSIONED = re.compile(r"(python|pypy|perl|ruby|php|lua|node|tclsh|bash|pwsh)[0-9.]*")
_NAME = re.compile(r"[A-Za-z0-9_.+/\[-]+")
_LONG = frozenset("--login --norc --noprofile --posix".split())
_TAR_LONG = re.compile(
    r"--(no-same-owner|no-same-permissions|directory=.*|exclude=.*|strip-components=[0-9]+|warning=[a-z-]+)?"
)

# The grammar takes backslashes apart otherwise than shells do, here and there.
_UNESCAPED = re.compile(r"""(?:'[^']*+'|"[^"\\]*+"|[^'"\\])*+""")
_PATTERNS = re.compile(r"[*?\[]")  # which the shell replaces by names of files
_PARTS = frozenset(
    "program list pipeline redirected_statement negated_command subshell compound_statement if_statement elif_clause "
    "else_clause comment".split()
)
_MARKS = frozenset([*"; && || | ( ) { } if then elif else fi !".split(), "\n"])
_CHOOSY = frozenset({"find", "tar", "bsdtar"})  # whose options say whether they run something
_RESERVED = frozenset(
    "if then elif else fi for while until do done case esac in function select time coproc { } ! [[ ]]".split()
)  # words that the grammar takes for programs where they stand in an odd place
_NOWHERE = frozenset("/dev/null /dev/stdout /dev/stderr".split())
_REDIRECTS = frozenset("> >> < >| 2> 1> >&".split())


@dataclass(frozen=True, slots=True)
class Run:
    """``programs`` by name, without folder; ``words`` are all words of all commands. ``takes`` says that some program runs what
    its input says. ``writes`` are the files that its output is led into, as they are written out, ``touches`` words of programs
    that are not known only to look at what they name. ``why`` says why it cannot be told what runs, "" where it can.
    """

    programs: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    takes: bool = False
    reads: bool = False
    why: str = ""
    writes: tuple[str, ...] = ()
    touches: tuple[str, ...] = ()


class _UntoldError(Exception):
    """What keeps a text from being understood."""


def understood(argv: tuple[str, ...], nested: int = 0) -> Run:
    """What a command runs. ``reads`` says that some program may read input for more than data."""
    if not argv or not argv[0]:
        return Run(why="it has no command")
    name, rest = argv[0].rpartition("/")[2], argv[1:]
    if name in ("busybox", "toybox") and rest and not rest[0].startswith("-"):
        return understood(rest, nested)
    plain = _VERSIONED.fullmatch(name)
    base = plain[1] if plain else name
    if base in _SHELLS or name in ("busybox", "toybox"):
        return _shell(base, argv, nested)
    if base in _INTERPRETERS or base in ("python", "pypy"):
        return Run((name,), argv, takes=True, reads=True, why=f"{name} runs what it is told")
    chosen = _tar_runs(name, rest) or _find_runs(name, rest) or _evaluates(name, rest)
    if chosen or name in _RUNNERS or name.startswith(("ld-", "git-")):
        return Run((name,), argv, reads=True, why=f"{name} may run other programs")
    if not _NAME.fullmatch(argv[0]):
        return Run((), argv, reads=True, why="its program has no plain name")
    usual = _CHANGING_SHOWN if name in _SHOWN else _CHANGING
    changes = (usual, _CLUSTERED.get(name, usual))
    looks = name in _LOOKING and not any(one.match(word) for word in rest for one in changes)
    return Run((name,), argv, reads=name not in _FED, touches=() if looks else rest)


def _shell(name: str, argv: tuple[str, ...], nested: int) -> Run:
    own = argv[0].rpartition("/")[2]
    try:
        text = _text_of(argv[1:])
    except _UntoldError as error:
        return Run((own,), argv, takes=True, reads=True, why=str(error))
    if text is None:
        return Run((own,), argv, takes=True, reads=True, why=f"{own} runs what it is told")
    if name not in _POSIX:
        return Run((own,), argv, takes=True, reads=True, why=f"the language of {own} is not read")
    if nested >= NESTED:
        return Run((own,), argv, takes=True, reads=True, why="shells in shells in shells")
    try:
        commands, files = _commands(text)
        inner = [understood(words, nested + 1) for words in commands]
        writes = tuple(dict.fromkeys([*files, *(file for one in inner for file in one.writes)]))
        touches = _touched(inner, writes)
    except _UntoldError as error:
        return Run((own,), argv, takes=True, reads=True, why=str(error))
    return Run(
        programs=tuple(dict.fromkeys(program for one in inner for program in one.programs)) or (own,),
        words=tuple(word for one in inner for word in one.words),
        takes=any(one.takes for one in inner),
        reads=any(one.reads for one in inner),
        why=next((one.why for one in inner if one.why), ""),
        writes=writes,
        touches=touches,
    )


def _touched(inner: list[Run], files: Sequence[str]) -> tuple[str, ...]:
    """What commands touch between them, from each folder in which they may be. Where a ``cd`` leads counts once
    anything is touched or written. Raises _UntoldError.
    """
    own = [word for one in inner if one.programs != ("cd",) for word in one.touches]
    folders: list[str] = []
    for one in inner if own or files else []:
        for word in one.words[1:] if one.programs == ("cd",) else ():
            folders.append(word if word.startswith(("/", "~")) or not folders else f"{folders[-1]}/{word}")
    if len(folders) > MOVES:
        raise _UntoldError(f"more than {MOVES} changes of folder")
    named = [part for word in (*own, *files) for part in (word, word[2:] if word.startswith("-") else word.rpartition("=")[2])]
    below = [f"{folder}/{part}" for folder in folders for part in named if not part.startswith(("/", "~", "-"))]
    return tuple(dict.fromkeys([*own, *folders, *below]))


def _text_of(rest: tuple[str, ...]) -> str | None:
    """The text behind ``-c``, None for a shell without one."""
    given, words = False, list(rest)
    while words and words[0][:1] in ("-", "+") and len(words[0]) > 1:
        option = words.pop(0)
        if option == "--":
            break
        if option.startswith("--"):
            if option not in _LONG:
                raise _UntoldError(f"a shell with {option}")
        elif re.fullmatch(r"[-+][ceuxflvhm]*o", option) and words:
            given |= "c" in option
            words.pop(0)
        elif re.fullmatch(r"[-+][ceuxflvhm]+", option):
            given |= "c" in option
        else:
            raise _UntoldError(f"a shell with {option}")
    if given and not words:
        raise _UntoldError("a shell with -c and no text")
    return words[0] if given else None


def _evaluates(name: str, rest: tuple[str, ...]) -> bool:
    """Whether it takes a word for an expression, or runs the program that an option names."""
    if name == "sort":
        return any(word.startswith("--co") for word in rest)
    if name == "ip":  # netns exec, vrf exec and files of such words, as far as it takes shortened ones
        return any(re.match(r"net|v|-+b(?:a|\Z)", word) for word in rest)
    if name == "ssh-keygen":  # the library of a token
        return any(word.startswith("-") and set(word) & set("Dw") for word in rest)
    subscripts = any("[" in word and set(word) & set("$`") for word in rest)  # in which ksh runs commands
    return name in ("test", "[", "printf") and (subscripts or any(word.startswith("-v") for word in rest))


def _find_runs(name: str, rest: tuple[str, ...]) -> bool:
    return name == "find" and any(word.startswith(("-exec", "-ok")) for word in rest)


def _tar_runs(name: str, rest: tuple[str, ...]) -> bool:
    """Whether tar may run another program: by a long option that is not known here, or one of the short ones for it."""
    if name not in ("tar", "bsdtar") or not rest:
        return False
    options = [word if word.startswith("-") else f"-{word}" for word in rest[:1]] + [
        word for word in rest[1:] if word[:1] == "-"
    ]
    return any(not _TAR_LONG.fullmatch(word) if word.startswith("--") else bool({"I", "F"} & set(word)) for word in options)


# A shell's text ----------------------------------------------------------------------------------------------------------

_LANGUAGE = Language(tree_sitter_bash.language())


def _commands(text: str) -> tuple[list[tuple[str, ...]], list[str]]:
    """The words of each command in a text, and the files that it writes. Raises _UntoldError."""
    if len(text) > TEXT_CHARACTERS:
        raise _UntoldError(f"its text has more than {TEXT_CHARACTERS} characters")
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise _UntoldError("its text has characters that cannot be seen")
    if not _UNESCAPED.fullmatch(text):
        raise _UntoldError("its text has a backslash outside of single quotes, or a quote that does not end")
    root = Parser(_LANGUAGE).parse(text.encode()).root_node
    if root.has_error:
        raise _UntoldError("its text is not understood")
    found: list[tuple[str, ...]] = []
    files: list[str] = []
    todo = [root]
    while todo:
        node = todo.pop()
        if node.type == "command":
            found.append(tuple(_words(node, files)))
            if not found[-1] or found[-1][0] in _RESERVED:
                raise _UntoldError(f"its text has {_shown(node)}")
        elif node.type == "file_redirect":
            files += _redirect(node)
        elif node.type in _PARTS:
            todo += reversed(node.children)
        elif node.is_named or node.type not in _MARKS:
            raise _UntoldError(f"its text has {_shown(node)}")
        if len(found) > COMMANDS:
            raise _UntoldError(f"its text has more than {COMMANDS} commands")
    return found, files


def _words(command: Node, files: list[str]) -> Iterator[str]:
    program = ""
    for child in command.children:
        if child.type == "file_redirect":
            files += _redirect(child)
            continue
        node = child.children[0] if child.type == "command_name" else child
        word = _word(node)
        program = program or word.rpartition("/")[2]
        if program in _CHOOSY and node.type not in ("string", "raw_string") and _PATTERNS.search(word):
            raise _UntoldError(f"names of files may be options of {program}")
        yield word


def _redirect(node: Node) -> list[str]:
    """The file that it writes, which may be any that is written out. Words behind it, which are the command's, the grammar
    takes for files, too.
    """
    files = [child for child in node.named_children if child.type != "file_descriptor"]
    if len(files) != 1 or any(not child.is_named and child.type not in _REDIRECTS for child in node.children):
        raise _UntoldError(f"its text has {_shown(node)}")
    file = _word(files[0])
    kinds = {child.type for child in node.children if not child.is_named}
    return [] if "<" in kinds or file in _NOWHERE or (">&" in kinds and file.isdigit()) else [file]


def _word(node: Node) -> str:
    """What a word means; raises where only the shell itself can tell."""
    text = (node.text or b"").decode()
    match node.type:
        case "raw_string":
            return text[1:-1]
        case "word" | "number" | "test_operator" if not set("$`{}") & set(text):
            return text
        case "string" if all(child.type in ('"', "string_content") for child in node.children):
            return text[1:-1]
        case "concatenation":
            return "".join(_word(child) for child in node.children)
        case _:
            raise _UntoldError(f"its text has {_shown(node)}")


def _shown(node: Node) -> str:
    kind = node.type.replace("_", " ") if node.is_named else repr(node.type)
    return f"{kind}, which only the shell can tell"


def joined(argv: tuple[str, ...]) -> str:
    """The command as one line, quoted as a shell would take it."""
    return shlex.join(argv)
