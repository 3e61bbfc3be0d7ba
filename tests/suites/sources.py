"""Where drivers' tests come from: their registries' packages, pinned, unpacked into .cache/suites."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache/suites"
SDISTS = {"asyncpg": "0.32.0", "pg8000": "1.31.6", "psycopg2": "2.9.13", "postgast": "0.2.0"}
MODULES = {"pgx": ("github.com/jackc/pgx/v5", "v5.12.0"), "pq": ("github.com/lib/pq", "v1.12.3")}
JDBC = "org.postgresql:postgresql:42.7.8:tar.gz:jdbc-src"
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
# It writes until the server process ends whose id the login told: that id is the gateway's, so it would write for ever.
ENDLESS = "@Test\n  void lockReleaseOnCancelFailure()"
CORPUS = "vendor/libpg_query/test/sql/postgres_regress"

Fetch = Callable[[], Path]


def sdist(name: str, *, without: str = "", needs: str = "") -> Fetch:
    """An sdist from PyPI; ``without`` this folder, so that the driver that is installed is tested and not that one.

    What its tests need beside is put into its folder.
    """

    def fetch() -> Path:
        folder = CACHE / f"{name}-{SDISTS[name]}"
        if not folder.exists():
            CACHE.mkdir(parents=True, exist_ok=True)
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
            how = ["--quiet", "--no-deps", "--no-binary", name, "--dest", str(CACHE)]
            argv = [*pip, "download", *how, f"{name}=={SDISTS[name]}"]
            asked = subprocess.run(argv, check=False, capture_output=True, text=True)
            packed = CACHE / f"{name}-{SDISTS[name]}.tar.gz"
            if not packed.exists():  # pip also looks whether it could be built, which does not matter here
                raise OSError(asked.stderr)
            with tempfile.TemporaryDirectory(dir=CACHE) as beside:  # it is there whole, or not at all
                made = Path(beside) / folder.name
                unpack(packed, made.parent)
                if needs:
                    subprocess.run([*pip[:4], "install", "--quiet", "--no-deps", "--target", str(made), needs], check=True)
                if without:
                    shutil.rmtree(made / without)
                made.rename(folder)
        return folder

    return fetch


def module(name: str) -> Fetch:
    """A Go module, by the go command."""

    def fetch() -> Path:
        path, version = MODULES[name]
        folder = CACHE / f"{name}-{version}"
        if not folder.exists():
            done = subprocess.run(["go", "mod", "download", "-json", f"{path}@{version}"], check=True, capture_output=True)
            shutil.copytree(json.loads(done.stdout)["Dir"], folder, copy_function=shutil.copyfile)
            for one in (folder, *folder.rglob("*")):
                one.chmod(0o755 if one.is_dir() else 0o644)
        return folder

    return fetch


def jdbc() -> Path:
    """The sources that the JDBC driver's maintainers publish for those who build it themselves."""
    _, name, version, kind, what = JDBC.split(":")
    folder = CACHE / f"{name}-{version}-{what}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mvn", "-q", "-B", MAVEN_COPY, f"-Dartifact={JDBC}", f"-DoutputDirectory={CACHE}"], check=True)
        unpack(CACHE / f"{name}-{version}-{what}.{kind}", CACHE)
    copies = next(folder.rglob("CopyTest.java"))
    copies.write_text(copies.read_text().replace(ENDLESS, ENDLESS.replace("@Test", "")))
    return folder


def corpus() -> Path:
    """PostgreSQL's own regression tests, which come with libpg_query."""
    return sdist("postgast")() / CORPUS


def unpack(packed: Path, into: Path) -> None:
    """All of it."""
    with tarfile.open(packed) as archive:
        archive.extractall(into, filter="data")
