"""nginx as a target: what a server of its kind makes of files, parts, codings and of requests that it does not like itself."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.testbed.gateways import LiveGateway

from gatebook.cli.demo.processes import answers, free_port, wait_until

pytestmark = pytest.mark.real

CARD = "4111 1111 1111 1111"
IMAGE = random.Random(1).randbytes(300_000)
UPLOAD = random.Random(2).randbytes(5_000_000)
LOG = "$connection $connection_requests $request_method $request_uri $status $request_length $http_transfer_encoding"
CONFIG = """
{user} daemon off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/error.log;
events {{ worker_connections 256; }}
http {{
  log_format told '{log}'; access_log {home}/access.log told;
  client_body_temp_path {home}/body; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u;
  scgi_temp_path {home}/s;
  types {{ text/html html; application/json json; image/png png; text/plain txt; }}
  large_client_header_buffers 2 2k; client_header_buffer_size 1k;
  gzip on; gzip_types application/json text/plain; gzip_min_length 100;
  server {{
    listen 127.0.0.1:{port}; server_name files; root {home}/www; client_max_body_size 1m; error_page 404 /missing.html;
    location /upload/ {{ client_max_body_size 20m; dav_methods PUT DELETE; }}
    location = /only-get {{ limit_except GET {{ deny all; }} }}
    location = /broken {{ return 502; }}
    location = /silent {{ return 444; }}
  }}
}}
"""


@dataclass
class Nginx:
    """It, as a process of the tests' own."""

    home: Path
    port: int

    @property
    def log(self) -> list[str]:
        return (self.home / "access.log").read_text().splitlines()

    def target(self) -> dict[str, object]:
        return {
            "name": "files", "protocol": "http", "origins": [f"http://127.0.0.1:{self.port}"], "default_role": "agent",
            "roles": {"agent": {}}, "passes": ["image/png"],
        }  # fmt: skip


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    made = Nginx(tmp_path_factory.mktemp("nginx"), free_port())
    www = made.home / "www"
    (www / "folder").mkdir(parents=True)
    (www / "upload").mkdir()
    (www / "image.png").write_bytes(IMAGE)
    (www / "page.html").write_text(f"<p>{'words ' * 100} {CARD} {'words ' * 100}</p>")
    (www / "data.json").write_text('{"name": "Ada", "card": "' + CARD + '", "note": "' + "x" * 500 + '"}')
    (www / "missing.html").write_text(f"<h1>Nothing is here</h1><p>{CARD}</p>")
    (www / "folder" / "index.html").write_text("<h1>A folder</h1>")
    config = made.home / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # else its worker is nobody, who may not read what tests wrote
    config.write_text(CONFIG.format(home=made.home, port=made.port, log=LOG, user=user))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    with subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL) as running:
        assert wait_until(lambda: answers(made.port), 20)
        yield made
        running.terminate()
        running.wait(20)


@pytest.fixture
def door(new_gateway: Callable[..., LiveGateway], nginx: Nginx) -> LiveGateway:
    return new_gateway(apis=[nginx.target()], allows_all=True)


VERSIONS = pytest.mark.parametrize("version", ["--http1.1", "--http2"])


def curl(door: LiveGateway, version: str, path: str, *more: str, stdin: bytes = b"") -> tuple[str, dict[str, str], bytes]:
    """Status and version, fields and content of what curl was answered."""
    secrets, head, content = (door.home / name for name in ("curl.conf", "head", "content"))
    secrets.write_text(f'header = "Authorization: Bearer {door.mint()}"\n')
    content.write_bytes(b"")
    argv = ["curl", "-sS", version, "--config", str(secrets), "--cacert", str(door.world.authority.path), "--max-time", "60"]
    argv += ["-D", str(head), "-o", str(content), "-w", "%{http_code} %{http_version}", *more, f"{door.http_url}/files{path}"]
    found = subprocess.run(argv, input=stdin, capture_output=True, check=False)
    last = head.read_text().strip().replace("\r", "").split("\n\n")[-1].splitlines()[1:]
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in last)}
    return found.stdout.decode(), fields, content.read_bytes()


def spoken(version: str) -> str:
    return version.removeprefix("--http")


@VERSIONS
def test_a_file_comes_byte_for_byte_and_again_only_if_it_changed(door: LiveGateway, version: str) -> None:
    status, fields, content = curl(door, version, "/image.png")
    assert (status, content) == (f"200 {spoken(version)}", IMAGE)
    assert fields["content-length"] == str(len(IMAGE))
    status, _, content = curl(door, version, "/image.png", "-H", f"If-Modified-Since: {fields['last-modified']}")
    assert (status, content) == (f"304 {spoken(version)}", b"")
    status, _, content = curl(door, version, "/image.png", "-H", f"If-None-Match: {fields['etag']}")
    assert (status, content) == (f"200 {spoken(version)}", IMAGE), "what would prove a guess of the content is not asked"
    status, fields, content = curl(door, version, "/image.png", "-I")
    assert (status, fields["content-length"]) == (f"200 {spoken(version)}", str(len(IMAGE)))


@VERSIONS
def test_parts_of_what_passes_are_parts(door: LiveGateway, version: str) -> None:
    status, fields, content = curl(door, version, "/image.png", "-r", "1000-1999")
    assert (status, content) == (f"206 {spoken(version)}", IMAGE[1000:2000])
    assert fields["content-range"] == f"bytes 1000-1999/{len(IMAGE)}"
    status, _, content = curl(door, version, "/image.png", "-r", "-10")
    assert content == IMAGE[-10:]
    status, _, content = curl(door, version, "/image.png", "-r", "9999999-")
    assert status.startswith("416 ")


@VERSIONS
def test_of_what_is_looked_through_no_part_shows_what_the_whole_would_not(door: LiveGateway, version: str) -> None:
    whole = (b"words " * 100).decode()
    begin = 3 + len(whole) + 1 + 4
    status, _, content = curl(door, version, "/page.html", "-r", f"{begin}-{begin + 10}")
    assert status == f"200 {spoken(version)}"
    assert CARD.encode() not in content
    assert CARD[4:15].encode() not in content
    assert content.startswith(b"<p>words ")


@VERSIONS
def test_what_nginx_compressed_is_covered_inside(door: LiveGateway, version: str) -> None:
    for path, begin in (("/data.json", b'{"name": "Ada"'), ("/page.html", b"<p>words ")):
        _, fields, content = curl(door, version, path, "-H", "Accept-Encoding: gzip")
        assert fields["content-encoding"] == "gzip", path
        plain = gzip.decompress(content)
        assert plain.startswith(begin)
        assert CARD.encode() not in plain
    assert CARD.encode() not in door.book_bytes()


@VERSIONS
def test_an_upload_without_a_length_arrives_whole(door: LiveGateway, nginx: Nginx, version: str) -> None:
    name = f"/upload/{spoken(version)}.png"
    status, _, _ = curl(door, version, name, "-T", "-", "-H", "Content-Type: image/png", stdin=UPLOAD)
    assert status == f"201 {spoken(version)}"
    assert hashlib.sha256((nginx.home / f"www{name}").read_bytes()).digest() == hashlib.sha256(UPLOAD).digest()
    assert nginx.log[-1].split()[2:5] == ["PUT", name, "201"]
    status, _, content = curl(door, version, name)
    assert content == UPLOAD
    status, _, _ = curl(door, version, name, "-X", "DELETE")
    assert status == f"204 {spoken(version)}"
    assert not (nginx.home / f"www{name}").exists()


@VERSIONS
def test_pages_of_errors_are_its_own_and_covered(door: LiveGateway, version: str) -> None:
    status, _, content = curl(door, version, "/nothing")
    assert status == f"404 {spoken(version)}"
    assert b"Nothing is here" in content
    assert CARD.encode() not in content
    assert curl(door, version, "/only-get", "-X", "DELETE")[0] == f"403 {spoken(version)}"
    status, fields, content = curl(door, version, "/broken")
    assert (status, fields["content-type"]) == (f"502 {spoken(version)}", "text/html")
    assert b"nginx" in content, "the target's own word, and no problem of the gateway's"
    status, fields, _ = curl(door, version, "/silent")
    assert (status, fields["content-type"]) == (f"502 {spoken(version)}", "application/problem+json")


@VERSIONS
def test_what_it_calls_a_bad_request_is_answered_and_the_next_one_goes_on(
    door: LiveGateway, nginx: Nginx, version: str
) -> None:
    for more, wanted in (
        (["-H", "X-Long: " + "a" * 3_000], "400"),
        (["-G", "--data-urlencode", "q=" + "a" * 3_000], "414"),
        (["--data-binary", "@-", "-H", "Content-Type: image/png"], "413"),
    ):
        status, _, content = curl(door, version, "/data.json", *more, stdin=UPLOAD)
        assert status == f"{wanted} {spoken(version)}", content
        assert b"nginx" in content
        assert curl(door, version, "/data.json")[0] == f"200 {spoken(version)}"


@VERSIONS
def test_a_folder_without_its_slash_leads_back_through_the_gateway(door: LiveGateway, version: str) -> None:
    status, fields, _ = curl(door, version, "/folder")
    assert status == f"301 {spoken(version)}"
    assert fields["location"] == "/http/files/folder/"
    status, _, content = curl(door, version, "/folder", "-L")
    assert b"A folder" in content


def test_requests_of_many_clients_share_connections_to_it(door: LiveGateway, nginx: Nginx) -> None:
    before = len(nginx.log)
    with door.http() as client:
        for number in range(20):
            assert client.get(f"/files/data.json?{number}").status_code == 200
    with httpx.Client(
        verify=False,
        headers={"Authorization": f"Bearer {door.mint()}"}, trust_env=False, timeout=20,
    ) as other:  # fmt: skip
        assert other.get(f"{door.http_url}/files/data.json").status_code == 200
    assert wait_until(lambda: len(nginx.log) == before + 21, 10)
    lines = [line.split() for line in nginx.log[before:]]
    assert len({line[0] for line in lines}) == 1
    assert [int(line[1]) for line in lines] == list(range(1, 22))
