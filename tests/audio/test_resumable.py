"""A download ends with the file that was wanted or with none, and goes on where it broke off."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import web as fake
from fakes.web import Web
from mac_whisper_speedtest.audio.resumable import Waiting, Wanted, download_resumably, is_whole
from mac_whisper_speedtest.errors import DownloadError, StorageError

CONTENT = np.random.default_rng(1).bytes(300_000)
QUICK = Waiting(silence_s=2, sleep=lambda _seconds: None)


@pytest.fixture
def server() -> Iterator[Web]:
    with Web() as web:
        web.pages["/set.tar.gz"] = CONTENT
        yield web


@pytest.fixture
def wanted(server: Web, tmp_path: Path) -> Wanted:
    return Wanted(
        server.url("/set.tar.gz"),
        tmp_path / "datasets" / "set.tar.gz",
        len(CONTENT),
        hashlib.sha256(CONTENT).hexdigest(),
    )


def fetch(wanted: Wanted, waiting: Waiting = QUICK) -> list[str]:
    said: list[str] = []
    download_resumably(wanted, announce=said.append, waiting=waiting)
    return said


def left(wanted: Wanted) -> list[str]:
    return sorted(path.name for path in wanted.path.parent.iterdir() if path.suffix != ".lock")


def test_a_file_is_fetched_once(server: Web, wanted: Wanted) -> None:
    assert fetch(wanted) == fetch(wanted) == []

    assert wanted.path.read_bytes() == CONTENT
    assert len(server.asked) == 1
    assert left(wanted) == ["set.tar.gz"]


def test_a_cut_connection_is_gone_on_with_from_there(server: Web, wanted: Wanted) -> None:
    server.pages["/set.tar.gz"] = fake.cut_at(CONTENT, 100_000)

    (line,) = fetch(wanted)

    assert "the connection" in line
    assert [asked.range for asked in server.asked] == ["", "bytes=100000-"]
    assert wanted.path.read_bytes() == CONTENT


def test_what_an_earlier_call_left_is_gone_on_with(server: Web, wanted: Wanted) -> None:
    wanted.path.parent.mkdir()
    wanted.partial.write_bytes(CONTENT[:299_999])

    fetch(wanted)

    assert [asked.range for asked in server.asked] == ["bytes=299999-"]


def test_a_server_that_knows_no_ranges_sends_all_of_it_again(server: Web, wanted: Wanted) -> None:
    def whole(request: fake.Request) -> None:
        request.begin(200, {"Content-Length": str(len(CONTENT))})
        request.wfile.write(CONTENT)

    server.pages["/set.tar.gz"] = whole
    wanted.path.parent.mkdir()
    wanted.partial.write_bytes(b"x" * 1000)

    fetch(wanted)

    assert wanted.path.read_bytes() == CONTENT


def test_a_partial_file_that_is_too_long_or_wrong_is_begun_again(
    server: Web, wanted: Wanted
) -> None:
    wanted.path.parent.mkdir()
    wanted.partial.write_bytes(bytes(len(CONTENT) + 1))

    fetch(wanted)
    assert wanted.path.read_bytes() == CONTENT

    wanted.path.unlink()
    wanted.partial.write_bytes(bytes(1000))
    with pytest.raises(DownloadError, match="another hash"):
        fetch(wanted)
    assert left(wanted) == []


def test_an_altered_copy_is_not_whole_and_is_fetched_again(wanted: Wanted) -> None:
    fetch(wanted)
    wanted.path.write_bytes(CONTENT[:-1] + b"?")

    assert not is_whole(wanted)
    fetch(wanted)
    assert is_whole(wanted)


def test_a_longer_body_than_expected_is_not_read_to_its_end(server: Web, wanted: Wanted) -> None:
    server.pages["/set.tar.gz"] = fake.endless()

    with pytest.raises(DownloadError, match="another hash"):
        fetch(wanted)
    assert left(wanted) == []


def test_small_files_are_known_by_gits_name(server: Web, wanted: Wanted) -> None:
    named = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()

    fetch(replace(wanted, sha256="", git_sha1=named))

    wanted.path.unlink()
    with pytest.raises(DownloadError, match="another hash"):
        fetch(replace(wanted, sha256="", git_sha1="0" * 40))


def test_a_busy_server_is_asked_again_and_then_given_up(server: Web, wanted: Wanted) -> None:
    server.pages["/set.tar.gz"] = lambda request: request.begin(503, {"Content-Length": "0"})

    with pytest.raises(DownloadError, match=r"gave up on set\.tar\.gz .* answered 503") as caught:
        fetch(wanted)
    assert len(server.asked) == 5
    assert "resumed" in caught.value.hint


def test_a_refusal_is_not_tried_again(server: Web, wanted: Wanted) -> None:
    with pytest.raises(DownloadError, match="answered 404"):
        fetch(replace(wanted, url=server.url("/gone")))
    assert len(server.asked) == 1


def test_a_crawling_server_is_given_up_for_a_new_connection(server: Web, wanted: Wanted) -> None:
    server.pages["/set.tar.gz"] = fake.dripping(CONTENT, 0.01)
    hurried = replace(QUICK, window_s=0.1, failures=1)

    with pytest.raises(DownloadError, match=r"only \d\.\d kB/s"):
        fetch(wanted, hurried)
    assert left(wanted) == ["set.tar.gz.part"]


def test_a_secret_header_goes_to_the_named_host_and_not_where_it_redirects(
    server: Web, wanted: Wanted
) -> None:
    seen: list[str | None] = []

    def first(request: fake.Request) -> None:
        seen.append(request.headers.get("Authorization"))
        fake.redirect("/elsewhere")(request)

    def second(request: fake.Request) -> None:
        seen.append(request.headers.get("Authorization"))
        request.serve(CONTENT)

    server.pages |= {"/set.tar.gz": first, "/elsewhere": second}

    fetch(replace(wanted, headers={"Authorization": "Bearer x"}))

    assert seen == ["Bearer x", None]


def test_a_folder_that_cannot_be_made_is_a_storage_error(wanted: Wanted, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="cannot write"):
        fetch(replace(wanted, path=tmp_path / "file" / "set.tar.gz"))
