"""A command of Kubernetes run twice, through a gateway and directly, and what both printed without what never is the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.testbed.clustered import Clustered

_NEVER_THE_SAME = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b"), "UID"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z| \+0000)"), "TIME"),
    (re.compile(r"\w{3}, \d\d \w{3} \d{4} [\d:]+ \+0000"), "TIME"),
    (re.compile(r"\b127\.88\.\d+\.\d+"), "POD-IP"),
    (re.compile(r"\b10\.\d+\.\d+\.\d+"), "SERVICE-IP"),
    (re.compile(r"(resourceVersion\"?: \"?)\d+"), r"\1R"),
    (re.compile(r"\b(?:\d+(?:ms|[ydhms]))+\b"), "AGE"),
    (re.compile(r"/(LIVE|MERGED)-\d+/"), r"/\1/"),
    (re.compile(r"kube-api-access-\w{5}\b"), "kube-api-access"),
    (re.compile(r"(web-[0-9a-f]{8,10})-\w{5}\b"), r"\1"),
    (re.compile(r" +"), " "),  # columns are as wide as what stands in them
)


def plain(text: str, namespace: str) -> str:
    """Without what differs from one namespace and minute to the next."""
    text = text.replace(namespace, "NAMESPACE")
    for pattern, name in _NEVER_THE_SAME:
        text = pattern.sub(name, text)
    return text


# Lines of client-go's own log, which it writes or not by chance, as when a watch and its time end at once.
OF_ITS_LIBRARY = re.compile(r"^[IWE][0-9]{4} [0-9:.]+ .*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Twice:
    """Two namespaces with the same in them: one is reached through the gateway, the other directly."""

    through: Clustered
    other: str
    through_config: Path
    direct_config: Path

    @classmethod
    def of(cls, through: Clustered) -> Twice:
        cluster, other = through.cluster, through.cluster.new_namespace()
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        for one in config["contexts"]:
            one["context"]["namespace"] = other
        direct = through.folder / "direct.kubeconfig"
        direct.write_text(yaml.safe_dump(config))
        return cls(through, other, through.kubeconfig(), direct)

    def both(self, *argv: str, program: str = "kubectl", **more: Any) -> Mapping[str, tuple[int, str, str]]:
        """What both ended with, printed and complained of."""

        def run(config: Path, namespace: str) -> tuple[int, str, str]:
            done = self.through.cluster.run(program, *argv, kubeconfig=config, check=False, **more)
            return done.returncode, plain(done.stdout, namespace), plain(OF_ITS_LIBRARY.sub("", done.stderr), namespace)

        with ThreadPoolExecutor(2) as pool:
            ours = pool.submit(run, self.through_config, self.through.namespace)
            theirs = pool.submit(run, self.direct_config, self.other)
            return {"through": ours.result(), "direct": theirs.result()}

    def same(self, *argv: str, ends: int = 0, **more: Any) -> str:
        """What both printed alike; the gateway must not be seen."""
        found = self.both(*argv, **more)
        log = self.through.gateway.log[-2000:] if found["through"] != found["direct"] else ""
        assert found["through"] == found["direct"], f"{argv}\n{log}"
        status, printed, complaint = found["direct"]
        assert status == ends, f"{argv} ended {status}: {complaint}"
        return printed + complaint
