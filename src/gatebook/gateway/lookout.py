"""Threads for the questions that live sessions stand on: was a token revoked, a grant ended, a session's end asked for.

Nothing else may run on them: whatever fills asyncio's own threads, recordings that end on a slow disk or proofs that wait for
the database, a gateway that cannot ask is blind, and blind it ends the sessions that it cannot answer for. Each question is
asked once at a time, so that there is a thread for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

THREADS = 5  # as many as there are such questions

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="lookout")

P = ParamSpec("P")
T = TypeVar("T")


async def ask(question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``question`` says, which may block on the database."""
    return await asyncio.get_running_loop().run_in_executor(_threads, partial(question, *args, **kwargs))
