"""A recording is fetched only from where it may be, only so much of it, and leaves no file."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import web as fake
from fakes.web import Web
from mac_whisper_speedtest.audio.address import STRICT, FetchPolicy, is_public
from mac_whisper_speedtest.audio.recording import AudioSet
from mac_whisper_speedtest.audio.select import load_audio
from mac_whisper_speedtest.errors import AudioError, DownloadError, UsageError
from mac_whisper_speedtest.request import Request

LOCAL = replace(
    STRICT,
    allow_http=True,
    trusted=frozenset({"audio.test"}),
    resolve=lambda host, _port: ["127.0.0.1"] if host in {"audio.test", "inside.test"} else [host],
    connect_s=5.0,
    silence_s=5.0,
    total_s=20.0,
)
"""As the default, but that audio.test is a server of the test's own; inside.test is one as well,
and is not trusted."""


@pytest.fixture
def server() -> Iterator[Web]:
    with Web() as web:
        yield web


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder for temporary files, which must be empty afterwards."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.delenv("SPEEDTEST_OFFLINE", raising=False)
    yield
    assert list(folder.iterdir()) == []


@pytest.fixture
def wav(tmp_path: Path, encode: Callable[..., Path]) -> bytes:
    noise = np.random.default_rng(1).normal(0, 0.1, (1, 32_000))
    return encode(tmp_path / "a.wav", noise, rate=16_000).read_bytes()


def measured_on(url: str, policy: FetchPolicy = LOCAL, **options: object) -> AudioSet:
    choice = replace(Request(models=(), audio=url), **options)  # type: ignore[arg-type]
    return load_audio(choice, notify=lambda _line: None, policy=policy)


def refusal(url: str, policy: FetchPolicy = LOCAL, **options: object) -> str:
    with pytest.raises(DownloadError) as caught:
        measured_on(url, policy, **options)
    assert caught.value.hint
    return caught.value.message


def test_a_recording_is_fetched_and_named_without_query_or_login(server: Web, wav: bytes) -> None:
    server.pages["/talks/one.wav"] = wav
    said: list[str] = []
    url = server.url("/talks/one.wav?token=secret", "audio.test")

    speech = load_audio(Request(models=(), audio=url), notify=said.append, policy=LOCAL)

    (clip,) = speech.recordings
    assert (speech.name, clip.seconds, clip.reference) == ("one.wav", 2.0, None)
    assert speech.source == "one.wav, from audio.test"
    assert said == ["Fetching one.wav from audio.test."]
    (asked,) = server.asked
    assert (asked.path, asked.host) == (
        "/talks/one.wav?token=secret",
        f"audio.test:{server.port}",
    )


def test_http_is_refused_unless_it_is_allowed(server: Web, wav: bytes) -> None:
    server.pages["/a"] = wav
    strict = replace(LOCAL, allow_http=False)

    with pytest.raises(UsageError, match="not encrypted") as caught:
        measured_on(server.url("/a", "audio.test"), strict)
    assert "--allow-http" in caught.value.hint
    assert measured_on(server.url("/a", "audio.test"), strict, allow_http=True).seconds == 2


def test_a_name_that_leads_to_this_machine_is_refused_without_a_request(server: Web) -> None:
    assert "inside.test resolves to 127.0.0.1" in refusal(server.url("/a", "inside.test"))
    assert server.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "inside.test", "169.254.169.254", "10.0.0.1"])
def test_a_redirect_to_the_inside_is_refused(server: Web, wav: bytes, host: str) -> None:
    server.pages["/a.wav"] = fake.redirect(server.url("/secret", host))
    server.pages["/secret"] = wav

    message = refusal(server.url("/a.wav", "audio.test"))

    assert "which is not on the public internet" in message
    assert [asked.path for asked in server.asked] == ["/a.wav"]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://audio.test/a", "https://", "::"])
def test_a_redirect_to_something_else_than_the_web_is_refused(server: Web, target: str) -> None:
    server.pages["/a.wav"] = fake.redirect(target)

    assert refusal(server.url("/a.wav", "audio.test"))


def test_the_connection_goes_to_the_address_that_was_checked(server: Web, wav: bytes) -> None:
    server.pages["/a.wav"] = wav
    answers = [["127.0.0.1"], ["127.0.0.2"]]  # a second question would be answered otherwise
    policy = replace(LOCAL, resolve=lambda _host, _port: answers.pop(0))

    measured_on(server.url("/a.wav", "audio.test"), policy)

    assert len(answers) == 1


def test_redirects_are_followed_five_times_and_not_six(server: Web, wav: bytes) -> None:
    server.pages["/0"] = wav
    for number in range(1, 7):
        server.pages[f"/{number}"] = fake.redirect(f"/{number - 1}", status=(301, 307)[number % 2])

    assert measured_on(server.url("/5", "audio.test")).seconds == 2
    assert refusal(server.url("/6", "audio.test")) == "audio.test redirects more than 5 times"


def test_a_stream_without_end_is_cut_at_the_limit(server: Web, wav: bytes) -> None:
    server.pages["/radio"] = fake.endless(wav)

    message = refusal(server.url("/radio", "audio.test"), max_download_bytes=1_000_000)

    assert message == "audio.test sends more than 1 MB, or endlessly"


def test_a_size_beyond_the_limit_is_refused_before_it_is_sent(server: Web) -> None:
    def answer(request: fake.Request) -> None:
        request.begin(200, {"Content-Length": "3000000000"})
        request.web.stops.wait(30)

    server.pages["/big"] = answer

    assert "more than 2000 MB" in refusal(server.url("/big", "audio.test"))


def test_a_radio_is_recognized_by_its_headers(server: Web) -> None:
    server.pages["/radio"] = lambda request: request.begin(200, {"icy-name": "x"})

    assert "radio stream" in refusal(server.url("/radio", "audio.test"))


def test_what_drips_is_given_up_in_the_time_for_all_of_it(server: Web, wav: bytes) -> None:
    server.pages["/body"] = fake.dripping(wav, 0.02)
    server.pages["/headers"] = fake.dripping_headers
    hurried = replace(LOCAL, total_s=0.5)

    for path in ("/body", "/headers"):
        began = time.monotonic()
        assert "was still sending after 0.5 s" in refusal(server.url(path, "audio.test"), hurried)
        assert time.monotonic() - began < 4


def test_what_never_answers_is_given_up(server: Web) -> None:
    server.pages["/a"] = fake.silent
    hurried = replace(LOCAL, silence_s=0.3)

    assert "did not answer in time" in refusal(server.url("/a", "audio.test"), hurried)


def test_a_recording_cut_short_on_the_way_is_no_recording(server: Web, wav: bytes) -> None:
    server.pages["/a.wav"] = fake.cut_at(wav, 10_000, times=9)

    message = refusal(server.url("/a.wav", "audio.test"))

    assert "bytes and ended the connection" in message or "cannot fetch" in message


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><html>", b'{"error": "no"}', "Grüße ".encode() * 5_000]
)
def test_a_page_about_a_recording_is_not_one_whatever_it_is_called(
    server: Web, page: bytes
) -> None:
    server.pages["/a.mp3"] = page

    assert "sent text, not a recording" in refusal(server.url("/a.mp3", "audio.test"))


def test_bytes_that_are_no_audio_are_refused_by_content(server: Web) -> None:
    server.pages["/a.mp3"] = b"\x89PNG\r\n\x1a\n" + bytes(5_000)

    with pytest.raises(AudioError, match=r"^a\.mp3 "):
        measured_on(server.url("/a.mp3", "audio.test"))


def test_an_encoded_body_is_refused(server: Web) -> None:
    server.pages["/a"] = lambda request: request.begin(
        200, {"Content-Encoding": "gzip", "Content-Length": "0"}
    )

    assert "encoded as gzip" in refusal(server.url("/a", "audio.test"))


def test_other_answers_are_named(server: Web) -> None:
    server.pages["/none"] = lambda request: request.begin(200, {"Content-Length": "0"})

    assert refusal(server.url("/gone", "audio.test")) == "audio.test answered 404 Not Found"
    assert "sent nothing" in refusal(server.url("/none", "audio.test"))


def test_nobody_listening_is_said() -> None:
    with Web() as web:
        url = web.url("/a", "audio.test")

    assert "cannot fetch from audio.test: Connection refused" in refusal(url)


def test_offline_nothing_is_asked(server: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEEDTEST_OFFLINE", "1")

    assert "SPEEDTEST_OFFLINE=1 forbids fetching it" in refusal(server.url("/a", "audio.test"))
    assert server.asked == []


def test_ctrl_c_during_a_download_leaves_no_file(server: Web, wav: bytes) -> None:
    def interrupting(request: fake.Request) -> None:
        request.begin(200, {"Content-Length": str(len(wav))})
        request.wfile.write(wav[:10_000])
        os.kill(os.getpid(), 15)
        request.web.stops.wait(5)

    server.pages["/a.wav"] = interrupting

    with pytest.raises(KeyboardInterrupt):
        measured_on(server.url("/a.wav", "audio.test"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for audio.test that signs itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed here")
    path = tmp_path_factory.mktemp("tls") / "audio.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=audio.test", "-addext", "subjectAltName=DNS:audio.test"),
            *("-keyout", str(path), "-out", str(path.with_suffix(".crt"))),
        ],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


def test_https_asks_for_the_certificate_of_the_name_not_of_the_number(
    certificate: Path, wav: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(LOCAL, trusted=frozenset({"audio.test", "inside.test"}), allow_http=False)
    with Web(certificate) as web:
        web.pages["/a.wav"] = wav

        assert "is not trusted: self" in refusal(web.url("/a.wav", "audio.test"), other)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
        assert measured_on(web.url("/a.wav", "audio.test"), other).seconds == 2
        assert "Hostname mismatch" in refusal(web.url("/a.wav", "inside.test"), other)


def test_the_default_trusts_no_host() -> None:
    assert STRICT.trusted == frozenset()
    assert not STRICT.allow_http
    assert not is_public("127.0.0.1")
