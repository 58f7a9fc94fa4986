"""What is read of weights and was not written here: nothing in it ends in a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.hub import Hub
from mac_whisper_speedtest import catalog, limits, paths
from mac_whisper_speedtest.convert.cursor import parse_json_object
from mac_whisper_speedtest.convert.record import read_record
from mac_whisper_speedtest.convert.vocabulary import listed_tokens
from mac_whisper_speedtest.errors import DownloadError, WeightsError
from mac_whisper_speedtest.hub import HubFile, parse_listing
from mac_whisper_speedtest.weights import pull, revisions
from mac_whisper_speedtest.weights.revisions import (
    CommitListing,
    cached_listing,
    store_listing,
)
from weights.conftest import COMMIT, Seen

DEEP = (limits.DEEPEST + 1, 980, 1000, 200_000)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A stored listing, as a pull leaves it."""
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path))
    store_listing(CommitListing("a/b", COMMIT, (HubFile("model.bin", 5, "0" * 64),), custom=True))
    assert cached_listing("a/b", COMMIT) is not None
    return revisions.lock_path("a/b", COMMIT).with_suffix(".json")


@pytest.mark.parametrize("depth", DEEP)
def test_a_stored_listing_that_is_nested_too_deep_is_asked_for_again(
    stored: Path, depth: int
) -> None:
    listing = stored.read_text(encoding="utf-8").rstrip().removesuffix("}")
    stored.write_text(f'{listing}, "other": {nested(depth)}}}', encoding="utf-8")
    assert cached_listing("a/b", COMMIT) is None


@pytest.mark.parametrize(
    "change",
    [
        {"size": "5"},
        {"size": -1},
        {"size": 1 << 62},
        {"sha256": ["0" * 64]},
        {"name": 7},
        {"name": "../../evil"},
        {"name": "x" * (limits.LONGEST_TEXT + 1)},
    ],
    ids=str,
)
def test_a_stored_listing_of_impossible_files_is_asked_for_again(
    stored: Path, change: dict[str, Any]
) -> None:
    listing = json.loads(stored.read_bytes())
    listing["files"][0] |= change
    stored.write_text(json.dumps(listing), encoding="utf-8")
    assert cached_listing("a/b", COMMIT) is None


@pytest.mark.parametrize("depth", DEEP)
def test_a_hub_whose_answer_is_nested_too_deep_is_refused(
    hub: Hub, small: catalog.Custom, seen: Seen, monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    answer = f'{{"sha": "{COMMIT}", "siblings": [], "other": {nested(depth)}}}'
    monkeypatch.setattr(json, "dumps", lambda *_, **__: answer)  # what the fake hub answers with
    with pytest.raises(DownloadError, match="the hub's list of the files of someone/small"):
        pull.pull_custom(small, notify=seen.messages.append)


@pytest.mark.parametrize(
    "file",
    [
        {"rfilename": "a", "size": -1},
        {"rfilename": "a", "size": 1e400},
        {"rfilename": "a", "size": 1 << 62},
        {"rfilename": "a", "size": "many"},
        {"rfilename": "a", "size": 1, "blobId": "../x"},
        {"rfilename": "a", "size": 1, "lfs": {"size": 1, "sha256": ["0" * 64]}},
        {"rfilename": "a", "size": 1, "lfs": {"size": 1, "sha256": "0" * 63}},
        {"rfilename": "a", "size": 1, "lfs": 7},
        {"rfilename": ["a"], "size": 1},
    ],
    ids=str,
)
def test_a_hub_that_lists_an_impossible_file_is_refused(file: dict[str, Any]) -> None:
    with pytest.raises(DownloadError, match="the hub's list of the files of a/b cannot be read"):
        parse_listing("a/b", json.dumps({"sha": COMMIT, "siblings": [file]}).encode())


@pytest.mark.parametrize(
    "rates",
    [nested(1000), "[[1e999, 1]]", "[[1, 1e999]]", "[[1, NaN]]", "[[true, 1]]", "{}", "[[1]]"],
)
def test_rates_of_earlier_downloads_that_cannot_be_are_no_rates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rates: str
) -> None:
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path))
    (paths.cache_dir() / "downloads.json").write_text(rates, encoding="utf-8")
    assert pull.expected_seconds(10**9) is None
    pull.record(10**9, 10.0)
    assert pull.expected_seconds(10**9) == pytest.approx(10.0)


@pytest.mark.parametrize("depth", DEEP)
def test_a_conversion_s_record_that_is_nested_too_deep_is_damage(
    tmp_path: Path, depth: int
) -> None:
    (tmp_path / "provenance.json").write_text(f'{{"other": {nested(depth)}}}', encoding="utf-8")
    with pytest.raises(WeightsError, match="nested deeper than 64 levels"):
        read_record(tmp_path)


@pytest.mark.parametrize("depth", DEEP)
@pytest.mark.parametrize(
    "read",
    [
        lambda data: parse_json_object(data, "config.json"),
        lambda data: listed_tokens(data, "vocabulary.json"),
    ],
    ids=["config", "vocabulary"],
)
def test_settings_and_vocabularies_that_are_nested_too_deep_are_damage(
    read: Callable[[bytes], object], depth: int
) -> None:
    with pytest.raises(WeightsError, match="nested deeper than 64 levels"):
        read(nested(depth).encode())
