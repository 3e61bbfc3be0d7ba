"""What does a channel of SSH want to run? ``read`` answers from what its client asks for alone.

A host gives a command to its user's login shell as one text (``sh -c TEXT``). So the text is read by the grammar of bash, and
is known as far as that is all a POSIX shell would make of it (``protocols/shell.py``): whatever is expanded, assigned,
substituted or given to an interpreter is unknown, and why is said. A login shell of another kind may make something else of it.

Nobody knows when a command begins whether input will come, so that is decided apart, once it does: ``ssh.input``. Programs that
take their input for data need none. What has a terminal can be told anything, and is decided as that.

Pure: the same request gives the same reading, and none makes it raise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gatebook.masking.detectors import cover_text
from gatebook.model import Deed, Reach, Resource
from gatebook.protocols.shell import Run, understood
from gatebook.protocols.ssh.lines import Line
from gatebook.protocols.ssh.messages import Start
from gatebook.protocols.ssh.transfers import UNTOLD, Transfer, transfer
from gatebook.protocols.ssh.verbs import FACTS, VERBS

COMMAND_CHARACTERS = 65_536  # of one command; OpenSSH's client sends no longer ones by itself
SHOWN_CHARACTERS = 2_000
TARGET = Resource(kind="target", name="")
TYPED = "it has a terminal, so that it can be told anything"
_LOGIN_SHELL = "sh"

# Files that decide who gets in, or what runs by itself: keys, start files of shells, cron, services, programs.
ADMIN = re.compile(
    r"/\.(?:ssh|gnupg|aws|kube|config/(?:systemd|autostart|fish))(?:/|\Z)|/\.(?:bash|zsh|k|c|tc)?(?:rc|shrc|env|profile|login|logout"
    r"|_profile|_login|_logout|_aliases|shenv)\Z|/\.(?:rhosts|shosts|netrc|forward|gitconfig|pam_environment|inputrc|vimrc)\Z"
    r"|\A/(?:etc|boot|usr|bin|sbin|lib|lib64|proc|sys|dev)(?:/|\Z)|\A/var/spool/(?:cron|at)(?:/|\Z)"
)

_SLASHES = re.compile(r"/(?:\.?/)+")
_NAMED = re.compile(r"[=:,]|\A-[A-Za-z]|\A-+[a-z-]*(?=[/~.])")  # behind which a word may have a name of a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a channel wants. ``fed`` says that input is part of what was decided: none needs to be asked about.

    ``opaque``: what it writes is a protocol's, in which no mask set covers anything.
    """

    deeds: tuple[Deed, ...]
    shown: str
    text: str
    settings: str
    seen: str
    fault: str = ""
    fed: bool = False
    opaque: bool = False
    input: tuple[Deed, ...] = ()


def no_facts(**known: Any) -> dict[str, bool | int | str | frozenset[str]]:
    """All facts with these values; the rest say nothing."""
    return {**FACTS, **known}


def read(start: Start, user: str) -> Reading:
    """Read what a client wants run as this user."""
    command = start.command
    if command is None:
        return _shell(start, user)
    carried = transfer(command) if start.terminal is None else None
    if carried is not None:
        return _transfer(start, user, command, carried)
    run = understood((_LOGIN_SHELL, "-c", command)) if command.strip() else Run(why="it has no command")
    typed = start.terminal is not None and (run.takes or run.reads)
    unknown = bool(run.why) or typed
    facts = _facts(start, user, run, run.why or (TYPED if typed else ""))
    verb = "ssh.shell" if typed and run.takes else "ssh.exec"
    deed = Deed(verb=verb, reach=Reach.UNKNOWN if unknown else _reach(verb, run), resource=TARGET, facts=facts)
    fed = Deed(verb="ssh.input", reach=VERBS["ssh.input"], resource=TARGET, facts=facts)
    return Reading(
        deeds=(deed,),
        shown=_shown(command),
        text=command,
        settings=_settings(start),
        seen=_seen(start, user),
        fault=_fault(command),
        fed=typed or not run.reads,
        input=(fed,),
    )


def _shell(start: Start, user: str) -> Reading:
    facts = _facts(start, user, Run(), "a shell runs what it is told")
    deed = Deed(verb="ssh.shell", reach=VERBS["ssh.shell"], resource=TARGET, facts=facts)
    return Reading(deeds=(deed,), shown="(a shell)", text="", settings=_settings(start), seen=_seen(start, user), fed=True)


REWRITTEN = "shells replace ! and ^ by what was typed before, and some of them take # for a word"
_REWRITTEN = re.compile(r"!|^\s*\^|(?:^|[\s;&|()])#")


def read_line(line: Line, start: Start, user: str) -> Reading:
    """Read a line that was typed at a terminal."""
    told = line.why or (REWRITTEN if _REWRITTEN.search(line.text) else "")
    run = understood((_LOGIN_SHELL, "-c", line.text)) if line.text.strip() and not told else Run()
    why = told or run.why
    facts = _facts(Start(line.text, start.terminal, start.environment), user, run, why)
    deed = Deed(verb="ssh.line", reach=Reach.UNKNOWN if why else _reach("ssh.line", run), resource=TARGET, facts=facts)
    shown = line.text or f"(a line: {line.why})"
    return Reading(
        deeds=(deed,),
        shown=_shown(shown),
        text=line.text,
        settings=_settings(start),
        seen=cover_text(_visible(f"as {user}, typed at a terminal:\n{shown}")),
    )


def _reach(verb: str, run: Run) -> Reach:
    """Of what is written out. A file that does not begin at the root is taken for one of the home, where commands begin."""
    return Reach.ADMIN if any(map(_leads_far, run.writes)) or any(map(_names_far, run.touches)) else VERBS[verb]


def _leads_far(file: str) -> bool:
    """Whether a file may be one that counts; one with ``..`` in it, or a pattern, may be any."""
    if ".." in file.split("/") or set(file) & set("*?["):
        return True
    return _counts(file)


def _names_far(word: str) -> bool:
    """Whether a word, or what stands in it behind an option's name, is the name of a file that counts."""
    return any(map(_counts, (word, *(word[place.end() :] for place in _NAMED.finditer(word)))))


def _counts(file: str) -> bool:
    up = file.rpartition("../")
    plain = f"/{up[2]}" if up[1] else file
    return bool(ADMIN.search(_SLASHES.sub("/", plain if plain.startswith(("/", "~")) else f"~/{plain}")))


def _transfer(start: Start, user: str, command: str, carried: Transfer) -> Reading:
    verb = "ssh.upload" if carried.up else "ssh.download"
    run = Run((carried.program,), carried.words)
    facts = _facts(start, user, run, UNTOLD)
    deeds = tuple(
        Deed(verb=verb, reach=VERBS[verb], resource=TARGET, facts={**facts, "path": _visible(path)}) for path in carried.paths
    )
    way = "to" if carried.up else "from"
    return Reading(
        deeds=deeds,
        shown=_shown(command),
        text=command,
        settings=_settings(start),
        seen="\n".join([_seen(start, user), *(cover_text(f"{way} {path}") for path in carried.paths)]),
        fed=True,
        opaque=carried.opaque and not carried.up,
    )


def _facts(start: Start, user: str, run: Run, why: str) -> dict[str, bool | int | str | frozenset[str]]:
    return no_facts(
        user=user,
        command=_visible(start.command or ""),
        programs=frozenset(map(_visible, run.programs)),
        words=frozenset(map(_visible, run.words)),
        writes=frozenset(map(_visible, run.writes)),
        tty=start.terminal is not None,
        environment=frozenset(f"{name}={_visible(value)}" for name, value in start.environment),
        why_unknown=why,
    )


def _settings(start: Start) -> str:
    """What gives a command its meaning besides its text."""
    kind = start.terminal.kind if start.terminal is not None else ""
    return "\0".join((kind, "shell" if start.command is None else "exec", *(f"{n}={v}" for n, v in start.environment)))


def _seen(start: Start, user: str) -> str:
    """All of it as people see it who decide, its values covered."""
    kind = f", with a terminal ({start.terminal.kind})" if start.terminal is not None else ""
    lines = [f"as {user}{kind}:", start.command if start.command is not None else "(the user's login shell)"]
    lines += [f"with {name}={value}" for name, value in start.environment]
    return cover_text(_visible("\n".join(lines)))


def _fault(command: str) -> str:
    if len(command) > COMMAND_CHARACTERS:
        return f"it has more than {COMMAND_CHARACTERS} characters"
    return "it has a zero byte, at which it would end for the host" if "\0" in command else ""


def _visible(text: str) -> str:
    """Text as rules can hold it: what is no Unicode is written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _shown(command: str) -> str:
    """In a log: one line, its values covered."""
    shown = cover_text(command[:SHOWN_CHARACTERS])
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)
    return shown + (" …" if len(command) > SHOWN_CHARACTERS else "")
