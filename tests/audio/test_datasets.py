"""Datasets are named exactly, downloaded only when allowed, and read as they are."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.web import Web
from mac_whisper_speedtest import paths
from mac_whisper_speedtest.audio import datasets, hub_dataset
from mac_whisper_speedtest.audio.dataset_entries import Dataset
from mac_whisper_speedtest.audio.recording import AudioSet
from mac_whisper_speedtest.audio.select import load_audio
from mac_whisper_speedtest.errors import DownloadError, StorageError, UsageError
from mac_whisper_speedtest.hub import HubFile, HubListing
from mac_whisper_speedtest.request import Request

COMMIT = "0123456789abcdef" * 2 + "01234567"
Encode = Callable[..., Path]


@pytest.fixture
def server(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.delenv("SPEEDTEST_OFFLINE", raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with Web() as web:
        monkeypatch.setenv("HF_ENDPOINT", web.url(""))
        monkeypatch.setattr(datasets, "HOST", web.url(""))
        yield web


@pytest.fixture
def flac(tmp_path: Path, encode: Encode) -> Callable[[float], bytes]:
    def make(seconds: float) -> bytes:
        noise = np.random.default_rng(round(seconds * 1000)).normal(
            0, 0.1, (1, int(seconds * 16_000))
        )
        return encode(tmp_path / "x.flac", noise, rate=16_000, codec="flac").read_bytes()

    return make


def got(text: str, **options: Any) -> AudioSet:
    choice = Request(models=(), dataset=text, **options)
    return load_audio(choice, notify=lambda _line: None)


@pytest.mark.parametrize(
    ("text", "dataset"),
    [
        ("librispeech:test-clean", Dataset("librispeech", "test-clean")),
        ("librispeech:test-other:n=100", Dataset("librispeech", "test-other", n=100)),
        (f"hf:org/name@{COMMIT}", Dataset("hf", "org/name", COMMIT)),
        (f"hf:org/name@{COMMIT}:test:n=5", Dataset("hf", "org/name", COMMIT, "test", 5)),
        (f"hf:org/name@{COMMIT}:n=5", Dataset("hf", "org/name", COMMIT, n=5)),
    ],
)
def test_datasets_are_named_like_this(text: str, dataset: Dataset) -> None:
    assert datasets.parse_dataset(text) == dataset


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a dataset"),
        ("commonvoice:de", "is not a dataset"),
        ("librispeech:test-clean:all", "is not a dataset"),
        ("librispeech:test-clean:n=0", "n=0 is not a number"),
        ("librispeech:test-clean:n=many", "n=many is not a number"),
        ("hf:name@main", "not a repository"),
        ("hf:org/name@main", "must be pinned to a commit .* it is pinned to main"),
        ("hf:org/name", "must be pinned to a commit .* it is pinned to nothing"),
        (f"hf:org/name@{COMMIT}:../up", "not a name of a split"),
    ],
)
def test_other_names_are_refused_with_the_forms_there_are(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        datasets.parse_dataset(text)
    assert caught.value.hint


# ---- LibriSpeech


@pytest.fixture
def archive(server: Web, flac: Callable[[float], bytes], monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A small archive in LibriSpeech's layout, on the server and pinned."""
    files: dict[str, bytes] = {"LibriSpeech/README.TXT": b"read me"}
    for speaker in ("61", "84"):
        folder = f"LibriSpeech/test-clean/{speaker}/100"
        lines = ""
        for number in range(3):
            key = f"{speaker}-100-{number:04}"
            files[f"{folder}/{key}.flac"] = flac(1 + number / 4 + int(speaker) / 1000)
            lines += f"{key} WORDS OF {number}\n"
        files[f"{folder}/{speaker}-100.trans.txt"] = lines.encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("LibriSpeech/test-clean/61/100/evil.flac")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    content = buffer.getvalue()
    server.pages["/test-clean.tar.gz"] = content
    pins = datasets.Archive(len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(datasets.ARCHIVES, "test-clean", pins)
    return content


@pytest.mark.usefixtures("archive")
def test_librispeech_is_not_downloaded_unasked(server: Web) -> None:
    with pytest.raises(DownloadError, match=r"LibriSpeech test-clean is not on .* \(0 MB\)") as no:
        got("librispeech:test-clean")
    assert "--download" in no.value.hint
    assert server.asked == []


@pytest.mark.usefixtures("archive")
def test_librispeech_is_read_out_of_its_archive_with_words_and_speakers(server: Web) -> None:
    speech = got("librispeech:test-clean", download=True)

    assert (speech.name, speech.language, speech.kind) == ("librispeech:test-clean", "en", "set")
    assert {clip.name: clip.reference for clip in speech.recordings} == {
        f"{speaker}-100-{number:04}": f"WORDS OF {number}"
        for speaker in (61, 84)
        for number in range(3)
    }
    assert {clip.speaker for clip in speech.recordings} == {"61", "84"}
    assert speech.left_out == speech.unscored == ()
    assert got("librispeech:test-clean").pcm_sha256 == speech.pcm_sha256
    assert len(server.asked) == 1
    folder = paths.cache_dir() / "datasets" / "librispeech"
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") == [
        "test-clean.tar.gz"
    ]


@pytest.mark.usefixtures("archive")
def test_a_sample_of_librispeech_takes_from_every_speaker_and_obeys_the_seed() -> None:
    speech = got("librispeech:test-clean:n=2", download=True, seed=4)

    assert speech.name == "librispeech:test-clean:n=2"
    assert len(speech.recordings) == 2
    assert got("librispeech:test-clean:n=2", seed=4).pcm_sha256 == speech.pcm_sha256
    others = {got("librispeech:test-clean:n=2", seed=seed).pcm_sha256 for seed in range(6)}
    assert len(others) > 1


def test_another_archive_than_the_pinned_one_is_refused(server: Web, archive: bytes) -> None:
    server.pages["/test-clean.tar.gz"] = archive[:-1] + b"?"

    with pytest.raises(DownloadError, match="does not have the pinned hash, twice"):
        got("librispeech:test-clean", download=True)


def test_a_part_of_librispeech_that_is_not_pinned_is_refused() -> None:
    with pytest.raises(UsageError, match="no split 'train-clean-100'") as caught:
        got("librispeech:train-clean-100", download=True)
    assert "test-clean, test-other, dev-clean, dev-other" in caught.value.hint


def test_an_archive_that_ends_early_is_damaged(tmp_path: Path, archive: bytes) -> None:
    path = tmp_path / "half.tar.gz"
    path.write_bytes(archive[: len(archive) // 2])

    with pytest.raises(StorageError, match="cannot be read"):
        list(datasets.librispeech_entries(path, n=None, seed=0))


def test_the_length_of_a_flac_is_read_from_its_header(flac: Callable[[float], bytes]) -> None:
    assert datasets.flac_samples(flac(1.5)[:42]) == 24_000
    assert datasets.flac_samples(b"RIFF" + bytes(50)) is None


# ---- Hugging Face


def publish(web: Web, files: dict[str, bytes], *, large: tuple[str, ...] = (".flac",)) -> None:
    """Put files on the server as the hub has them."""
    siblings = []
    for name, content in files.items():
        web.pages[f"/datasets/org/name/resolve/{COMMIT}/{name}"] = content
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": git}
        if name.endswith(large):
            entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest()}
        siblings.append(entry)
    answer = json.dumps({"sha": COMMIT, "siblings": siblings}).encode()
    web.pages[f"/api/datasets/org/name/revision/{COMMIT}"] = answer


@pytest.fixture
def folder_of_audio(server: Web, flac: Callable[[float], bytes]) -> Web:
    rows = "file_name,transcription,lang,speaker_id\n"
    files = {}
    for number in range(6):
        files[f"test/audio/{number}.flac"] = flac(1 + number / 10)
        rows += f"audio/{number}.flac,words {number},de,{number % 2}\n"
    rows += "../../../etc/passwd,x,de,0\n"
    publish(server, {**files, "test/metadata.csv": rows.encode(), "README.md": b"x"})
    return server


def test_nothing_of_the_hub_is_downloaded_unasked(folder_of_audio: Web) -> None:
    with pytest.raises(DownloadError, match="org/name is not on this machine"):
        got(f"hf:org/name@{COMMIT}:test")
    assert folder_of_audio.asked == []


def test_a_folder_of_audio_on_the_hub_becomes_a_set(folder_of_audio: Web) -> None:
    name = f"hf:org/name@{COMMIT}:test"

    speech = got(name, download=True)

    assert (speech.name, speech.language) == ("hf:org/name:test", "de")
    assert speech.source == f"org/name at {COMMIT} on the Hugging Face hub"
    assert [(clip.name, clip.reference) for clip in speech.recordings] == [
        (f"{number}.flac", f"words {number}") for number in range(6)
    ]
    assert [left.name for left in speech.left_out] == ["passwd"]
    asked = len(folder_of_audio.asked)
    assert got(name).pcm_sha256 == speech.pcm_sha256
    assert len(folder_of_audio.asked) == asked


def test_only_the_sample_is_downloaded(folder_of_audio: Web) -> None:
    speech = got(f"hf:org/name@{COMMIT}:test:n=2", download=True, seed=1)

    assert len(speech.recordings) + len(speech.left_out) == 2
    audio = [asked for asked in folder_of_audio.asked if asked.path.endswith(".flac")]
    assert len(audio) == len(speech.recordings)
    with pytest.raises(DownloadError, match=r"a part of org/name \(\d files\) is not on"):
        got(f"hf:org/name@{COMMIT}:test")


def test_a_manifest_of_nemo_on_the_hub_is_read_too(
    server: Web, flac: Callable[[float], bytes]
) -> None:
    line = json.dumps({"audio_filepath": "a.flac", "text": "words"})
    publish(server, {"a.flac": flac(1), "manifest.jsonl": line.encode()})

    (clip,) = got(f"hf:org/name@{COMMIT}", download=True, language="en").recordings

    assert (clip.reference, clip.language) == ("words", "en")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"data/test-0.parquet": b"PAR1"}, "stored as Parquet files, which are not supported"),
        ({"dev/metadata.csv": b"x"}, r"no table of recordings in test or data/test"),
        ({"README.md": b"x"}, "no table of recordings"),
    ],
)
def test_other_layouts_are_named(server: Web, files: dict[str, bytes], said: str) -> None:
    publish(server, files)

    with pytest.raises(UsageError, match=said):
        got(f"hf:org/name@{COMMIT}:test", download=True)


def test_an_unknown_dataset_says_what_the_hub_answered(server: Web) -> None:
    with pytest.raises(
        DownloadError, match=rf"no repository org/name .* \(404 for revision {COMMIT}\)"
    ):
        got(f"hf:org/name@{COMMIT}", download=True)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"siblings": 3}', b'{"siblings": [3]}'])
def test_a_page_that_is_no_hub_is_said(server: Web, answer: bytes) -> None:
    server.pages[f"/api/datasets/org/name/revision/{COMMIT}"] = answer

    with pytest.raises(DownloadError, match="list of the files of org/name cannot be read"):
        got(f"hf:org/name@{COMMIT}", download=True)


def test_file_names_that_lead_out_of_the_folder_are_not_taken() -> None:
    names = ["a/b.wav", "../x.wav", "/etc/passwd", "a/../../x", "./y", "z"]
    listed = [HubFile(name, 1, git_sha1="0" * 40) for name in names]

    found = hub_dataset.usable(HubListing(COMMIT, (*listed, HubFile("no hash", 1))))

    assert [file.name for file in found] == ["a/b.wav", "z"]
