"""Which acts are played, in which order: ``MAIN`` always, ``CLOSING`` always last, ``MORE`` as ``--acts`` asks, in between."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gatebook.cli.demo.acts import Act, play_book, play_foreign_token, play_postgres, play_token
from gatebook.cli.demo.calling import play_api
from gatebook.cli.demo.deciding import play_approval, play_evidence, play_grant, play_replay
from gatebook.cli.demo.maintaining import play_host
from gatebook.cli.demo.operating import play_cluster
from gatebook.cli.demo.pushing import play_repository

MAIN: tuple[Act, ...] = (play_token, play_postgres, play_approval, play_foreign_token, play_grant, play_replay)
MORE: Mapping[str, Act] = MappingProxyType(
    {"http": play_api, "kubernetes": play_cluster, "ssh": play_host, "git": play_repository}
)
CLOSING: tuple[Act, ...] = (play_book, play_evidence)
