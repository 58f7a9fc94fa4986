"""``speedtest leaderboard build`` on bundles, run directories and a dataset."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from conftest import Call
from fakes.parks import ANOTHER, machine
from fakes.web import Web
from mac_whisper_speedtest.bundle import signature, write
from mac_whisper_speedtest.results.directory import RunDirectory

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def build(speedtest: Call) -> Call:
    return functools.partial(speedtest, "leaderboard", "build")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three bundles and one run directory, of two kinds of machine."""
    root = tmp_path_factory.mktemp("made")
    folder = root / "bundles"
    for number, kind in ((1, None), (2, None), (3, ANOTHER)):
        run = machine(number, machine=kind, rounds=2).write(root / "runs" / f"{number}")
        write.write_bundle(RunDirectory(run), folder / f"{number}.zip")
    machine(4, times=1.1, rounds=2).write(folder / "000004")
    return folder


@pytest.fixture
def bundles(made_once: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(made_once, tmp_path / "bundles")


def test_a_folder_of_bundles_becomes_a_site(build: Call, bundles: Path, tmp_path: Path) -> None:
    answer = build(bundles, "-o", tmp_path / "site")

    assert (answer.code, answer.err) == (0, "")
    assert "boards: 2, bundles: 4" in answer.out
    assert sorted(path.name for path in (tmp_path / "site").iterdir()) == [
        ".speedtest-leaderboard",
        "index.html",
        "leaderboard.csv",
        "leaderboard.json",
    ]


def test_the_same_bundles_elsewhere_give_the_same_bytes(
    build: Call, bundles: Path, tmp_path: Path
) -> None:
    build(bundles, "-o", tmp_path / "one")
    shutil.copytree(bundles, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "1.zip").rename(tmp_path / "elsewhere" / "zz.zip")
    names = sorted(map(str, (tmp_path / "elsewhere").iterdir()), reverse=True)
    build(*names, "-o", tmp_path / "two")

    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_bad_bundle_is_named_and_the_rest_is_built(
    build: Call, bundles: Path, tmp_path: Path
) -> None:
    (bundles / "bad.zip").write_bytes((bundles / "1.zip").read_bytes()[:400])

    answer = build(bundles, "-o", tmp_path / "site")

    assert answer.code == 3
    assert answer.err.startswith("refused: bad.zip: ")
    assert "bad.zip" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "site" / "leaderboard.json").read_bytes())["refused"]


def test_where_all_are_bad_nothing_is_made(build: Call, tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    answer = build(tmp_path / "bad.zip", "-o", tmp_path / "site")
    assert answer.code == 4
    assert not (tmp_path / "site").exists()


def test_another_folder_is_not_overwritten(build: Call, bundles: Path) -> None:
    answer = build(bundles, "-o", bundles)
    assert answer.code == 2
    assert "contains something other" in answer.err


# ---- a dataset on the hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundles: Path) -> Iterator[Web]:
    monkeypatch.delenv("SPEEDTEST_OFFLINE", raising=False)
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    with Web() as web:
        monkeypatch.setenv("HF_ENDPOINT", web.url(""))
        files = {f"mac/{path.name}": path.read_bytes() for path in bundles.glob("*.zip")}
        _publish(web, {**files, "README.md": b"x", "other/4.zip": b"no zip"})
        yield web


def _publish(web: Web, files: Mapping[str, bytes]) -> None:
    """Make these the files of the dataset."""
    siblings: list[dict[str, Any]] = []
    for name, content in files.items():
        web.pages[f"/datasets/org/name/resolve/{COMMIT}/{name}"] = content
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        siblings.append({"rfilename": name, "size": len(content), "blobId": git})
    answer = json.dumps({"sha": COMMIT, "siblings": siblings}).encode()
    web.pages[f"/api/datasets/org/name/revision/{COMMIT}"] = answer


def test_nothing_is_downloaded_unasked(build: Call, hub: Web, tmp_path: Path) -> None:
    answer = build(f"hf:org/name@{COMMIT}", "-o", tmp_path / "site")
    assert answer.code == 10
    assert "--download" in answer.err
    assert hub.asked == []


def test_a_dataset_of_bundles_is_fetched_once(build: Call, hub: Web, tmp_path: Path) -> None:
    answer = build(f"hf:org/name@{COMMIT}:mac", "-o", tmp_path / "site", "--download")

    assert answer.code == 0
    assert "bundles: 3" in answer.out
    asked = len(hub.asked)
    assert asked == 4  # the list, and three files
    assert build(f"hf:org/name@{COMMIT}:mac", "-o", tmp_path / "site").code == 0
    assert len(hub.asked) == asked


def test_signatures_are_fetched_with_the_bundles(
    build: Call, hub: Web, tmp_path: Path, bundles: Path
) -> None:
    (first, *_) = sorted(bundles.glob("*.zip"))
    signature.sign_bundle(first, tmp_path / "key", password=str)
    beside = signature.signature_path(first)
    files = {f"mac/{path.name}": path.read_bytes() for path in (*bundles.glob("*.zip"), beside)}
    beside.unlink()  # of the folder of all tests
    _publish(hub, files)

    answer = build(f"hf:org/name@{COMMIT}:mac", "-o", tmp_path / "site", "--download")

    assert answer.code == 0
    page = (tmp_path / "site" / "index.html").read_text()
    key = (tmp_path / "key.pub").read_text().splitlines()[1]
    assert f"<code>{key[:12]}" in page


def test_a_dataset_without_a_commit_or_with_a_sample_is_refused(build: Call) -> None:
    assert "must be pinned to a commit" in build("hf:org/name").err
    assert "all bundles" in build(f"hf:org/name@{COMMIT}:n=3").err


def test_a_dataset_without_bundles_says_so(build: Call, hub: Web, tmp_path: Path) -> None:
    answer = build(f"hf:org/name@{COMMIT}:nothing", "-o", tmp_path / "site", "--download")
    assert answer.code == 2
    assert "no .zip file in nothing" in answer.err
