"""A download ends with the requested file or with none, and is resumed where it stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import web as fake
from fakes.web import Web
from mac_whisper_speedtest.download import (
    DownloadSource,
    RemoteFile,
    RetryPolicy,
    ensure_file,
    is_whole,
)
from mac_whisper_speedtest.errors import DownloadError, StorageError
from mac_whisper_speedtest.http_errors import RequestContext

CONTENT = np.random.default_rng(1).bytes(300_000)
QUICK = RetryPolicy(silence_s=2, sleep=lambda _seconds: None)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "SPEEDTEST_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def server() -> Iterator[Web]:
    with Web() as web:
        web.pages["/set.tar.gz"] = CONTENT
        yield web


@pytest.fixture
def remote(tmp_path: Path) -> RemoteFile:
    return RemoteFile(
        "set.tar.gz",
        tmp_path / "datasets" / "set.tar.gz",
        len(CONTENT),
        hashlib.sha256(CONTENT).hexdigest(),
    )


def fetch(server: Web, remote: RemoteFile, policy: RetryPolicy = QUICK) -> list[str]:
    """Have a file from the server; returns the lines that were announced."""
    said: list[str] = []
    ensure_file(remote, DownloadSource(RequestContext(server.url("")), said.append, policy))
    return said


def left(remote: RemoteFile) -> list[str]:
    return sorted(path.name for path in remote.path.parent.iterdir() if path.suffix != ".lock")


def test_a_file_is_fetched_once(server: Web, remote: RemoteFile) -> None:
    assert fetch(server, remote) == fetch(server, remote) == []

    assert remote.path.read_bytes() == CONTENT
    assert len(server.asked) == 1
    assert left(remote) == ["set.tar.gz"]


def test_a_cut_connection_is_gone_on_with_from_there(server: Web, remote: RemoteFile) -> None:
    server.pages["/set.tar.gz"] = fake.cut_at(CONTENT, 100_000)

    (line,) = fetch(server, remote)

    assert "the connection" in line
    assert [asked.range for asked in server.asked] == ["", "bytes=100000-"]
    assert remote.path.read_bytes() == CONTENT


def test_what_an_earlier_call_left_is_gone_on_with(server: Web, remote: RemoteFile) -> None:
    remote.path.parent.mkdir()
    remote.partial.write_bytes(CONTENT[:299_999])

    fetch(server, remote)

    assert [asked.range for asked in server.asked] == ["bytes=299999-"]


def test_a_server_that_knows_no_ranges_sends_all_of_it_again(
    server: Web, remote: RemoteFile
) -> None:
    def whole(request: fake.Request) -> None:
        request.begin(200, {"Content-Length": str(len(CONTENT))})
        request.wfile.write(CONTENT)

    server.pages["/set.tar.gz"] = whole
    remote.path.parent.mkdir()
    remote.partial.write_bytes(b"x" * 1000)

    fetch(server, remote)

    assert remote.path.read_bytes() == CONTENT


def test_a_partial_file_that_is_too_long_or_wrong_is_begun_again(
    server: Web, remote: RemoteFile
) -> None:
    remote.path.parent.mkdir()
    remote.partial.write_bytes(bytes(len(CONTENT) + 1))

    fetch(server, remote)
    assert remote.path.read_bytes() == CONTENT

    remote.path.unlink()
    remote.partial.write_bytes(bytes(1000))
    assert fetch(server, remote) == [
        "set.tar.gz does not have the pinned hash; downloading it again"
    ]
    assert remote.path.read_bytes() == CONTENT
    assert server.asked[-1].range == ""

    remote.path.unlink()
    remote.partial.write_bytes(bytes(1000))
    server.pages["/set.tar.gz"] = CONTENT[:-1] + b"?"
    with pytest.raises(DownloadError, match="does not have the pinned hash, twice"):
        fetch(server, remote)
    assert left(remote) == []


def test_an_altered_copy_is_not_whole_and_is_fetched_again(server: Web, remote: RemoteFile) -> None:
    fetch(server, remote)
    remote.path.write_bytes(CONTENT[:-1] + b"?")

    assert not is_whole(remote)
    fetch(server, remote)
    assert is_whole(remote)


def test_a_longer_body_than_expected_is_not_read_to_its_end(
    server: Web, remote: RemoteFile
) -> None:
    server.pages["/set.tar.gz"] = fake.endless()

    with pytest.raises(DownloadError, match="does not have the pinned hash, twice"):
        fetch(server, remote)
    assert left(remote) == []


def test_small_files_are_known_by_gits_name(server: Web, remote: RemoteFile) -> None:
    named = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()

    fetch(server, replace(remote, sha256="", git_sha1=named))

    remote.path.unlink()
    with pytest.raises(DownloadError, match="does not have the pinned hash, twice"):
        fetch(server, replace(remote, sha256="", git_sha1="0" * 40))


def test_a_busy_server_is_asked_again_and_then_given_up(server: Web, remote: RemoteFile) -> None:
    server.pages["/set.tar.gz"] = lambda request: request.begin(503, {"Content-Length": "0"})

    with pytest.raises(DownloadError, match=r"gave up on set\.tar\.gz .* answered 503") as caught:
        fetch(server, remote)
    assert len(server.asked) == 5
    assert "the download resumes" in caught.value.hint


def test_a_refusal_is_not_tried_again(server: Web, remote: RemoteFile) -> None:
    with pytest.raises(DownloadError, match="answered 404"):
        fetch(server, replace(remote, name="gone"))
    assert len(server.asked) == 1


def test_a_crawling_server_is_given_up_for_a_new_connection(
    server: Web, remote: RemoteFile
) -> None:
    server.pages["/set.tar.gz"] = fake.dripping(CONTENT, 0.01)
    hurried = replace(QUICK, window_s=0.1, failures=1)

    with pytest.raises(DownloadError, match=r"only \d\.\d kB/s"):
        fetch(server, remote, hurried)
    assert left(remote) == ["set.tar.gz.incomplete"]


def test_the_token_goes_to_the_hub_and_not_to_the_host_it_redirects_to(
    server: Web, remote: RemoteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []
    elsewhere = server.url("/elsewhere").replace("127.0.0.1", "localhost")

    def first(request: fake.Request) -> None:
        seen.append(request.headers.get("Authorization"))
        fake.redirect("/renamed" if len(seen) == 1 else elsewhere)(request)

    def last(request: fake.Request) -> None:
        seen.append(request.headers.get("Authorization"))
        request.serve(CONTENT)

    page = "/datasets/org/name/resolve/main/set.tar.gz"
    server.pages |= {page: first, "/renamed": first, "/elsewhere": last}
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    hub = RequestContext(server.url(""), "org/name", "main", kind="datasets")

    ensure_file(remote, DownloadSource(hub, lambda _line: None, QUICK))

    assert seen == ["Bearer hf_x", "Bearer hf_x", None]


def test_the_token_is_not_sent_to_a_server_that_is_no_hub(
    server: Web, remote: RemoteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def page(request: fake.Request) -> None:
        seen.append(request.headers.get("Authorization"))
        request.serve(CONTENT)

    server.pages["/set.tar.gz"] = page
    monkeypatch.setenv("HF_TOKEN", "hf_x")

    fetch(server, remote)

    assert seen == [None]


def test_a_folder_that_cannot_be_made_is_a_storage_error(
    server: Web, remote: RemoteFile, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="cannot write"):
        fetch(server, replace(remote, path=tmp_path / "file" / "set.tar.gz"))
