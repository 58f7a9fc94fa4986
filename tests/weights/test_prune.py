"""What prune takes for leftovers, and everything that it leaves alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import filelock
import pytest

from fakes.hub_cache import Repository, tree
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.weights import remove, revisions, trash
from mac_whisper_speedtest.weights.locations import converted_folder
from mac_whisper_speedtest.weights.revisions import CommitListing

KEY = "1a5afae06a4db91c"  # the beginning of the SHA-256 of tiny.en's source
COMMIT = "c0ffee" + "0" * 34
HOUR_S = 3600
MADE = f"ggml-float16-{KEY}"
STAGED = f".{MADE}.ab12_x9z"
SHA = "ab" * 32


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches: ``cache`` the tool's, ``hub`` the Hugging Face one."""
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "hub").mkdir()
    return tmp_path


@pytest.fixture
def weights(caches: Path) -> Path:
    """The folder of tiny.en's weights, with something that belongs there."""
    folder = caches / "cache/weights/tiny.en"
    put(folder / f"mlx-float32-{KEY}" / "weights.safetensors")
    (folder / f"mlx-float32-{KEY}.lock").touch()
    return folder


def put(path: Path, age_s: float = 0, size: int = 10) -> Path:
    """A file that was last touched so long ago, in a folder that was too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    then = time.time() - age_s
    for each in (path, path.parent):
        os.utime(each, (then, then))
    return path


def planned(caches: Path, **options: float) -> list[str]:
    return sorted(str(item.path.relative_to(caches)) for item in remove.plan_pruning(**options))


def pruned(caches: Path, **options: float) -> list[str]:
    """What is gone after everything planned was taken away."""
    before = set(tree(caches))
    for item in remove.plan_pruning(**options):
        freed = trash.remove_item(item)
        assert freed == item.size_bytes
    assert remove.plan_pruning(**options) == []
    return sorted(before - set(tree(caches)))


def test_what_a_dead_conversion_left_goes_at_once(caches: Path, weights: Path) -> None:
    put(weights / STAGED / "ggml-model.bin")
    (weights / f"{MADE}.lock").touch()
    assert pruned(caches) == [
        f"cache/weights/tiny.en/{STAGED}/ggml-model.bin",
        f"cache/weights/tiny.en/{MADE}.lock",
    ]


@pytest.mark.parametrize("name", [STAGED, f".{MADE}.removed"])
def test_what_somebody_is_at_work_on_stays_however_old(
    caches: Path, weights: Path, name: str
) -> None:
    put(weights / name / "ggml-model.bin", age_s=100 * HOUR_S)
    with filelock.FileLock(weights / f"{MADE}.lock"):
        assert planned(caches) == []
    assert len(planned(caches)) == 2


def test_without_a_lock_to_tell_only_what_is_old_goes(caches: Path, weights: Path) -> None:
    put(weights / STAGED / "ggml-model.bin", age_s=HOUR_S / 2)
    old = f".ggml-float32-{KEY}.ab12_x9z"
    put(weights / old / "ggml-model.bin", age_s=HOUR_S * 2)
    # A folder is as young as the youngest file in it.
    growing = f".ggml-q8_0-{KEY}.ab12_x9z"
    put(weights / growing / "tokenizer.json", age_s=HOUR_S * 2)
    put(weights / growing / "deeper/weights.bin")
    os.utime(weights / growing, (0, 0))
    assert pruned(caches) == [f"cache/weights/tiny.en/{old}/ggml-model.bin"]


def test_a_wheel_in_the_making_stays_while_any_lock_beside_it_is_held(
    caches: Path, weights: Path
) -> None:
    wheel = put(weights / ".1a5afae0-x9zab12_" / "wheels/meeting.whl", age_s=2 * HOUR_S)
    os.utime(wheel.parents[1], (0, 0))
    with filelock.FileLock(weights / f"ctranslate2-published-{KEY}.lock"):
        assert planned(caches) == []
    assert len(pruned(caches)) == 2


def test_conversions_of_weights_that_are_no_longer_pinned_go(caches: Path, weights: Path) -> None:
    old = "ggml-float16-00000000000000ff"
    put(weights / old / "ggml-model.bin", age_s=5)
    (weights / f"{old}.lock").touch()
    with filelock.FileLock(weights / f"{old}.lock"):
        assert planned(caches) == []
    assert pruned(caches) == [
        f"cache/weights/tiny.en/{old}.lock",
        f"cache/weights/tiny.en/{old}/ggml-model.bin",
    ]


def test_fetched_weights_of_an_older_pin_go_and_those_of_today_stay(
    caches: Path, weights: Path
) -> None:
    put(weights / f"ctranslate2-published-{KEY}" / "model.bin")
    old = put(weights / "ctranslate2-published-00000000000000ff" / "model.bin")
    assert pruned(caches) == [str(old.relative_to(caches))]


@pytest.mark.parametrize("network", catalog.whisper_models())
def test_no_conversion_of_today_is_ever_planned(caches: Path, network: str) -> None:
    for weights_format, kind in catalog.weights_formats().items():
        for precision in kind.converts_to:
            key = catalog.model_info(network, weights_format, precision).source_key
            assert key or kind.extends
            if key:
                put(converted_folder(network, weights_format, precision, key) / "weights")
    assert planned(caches) == []


def test_what_this_version_does_not_know_is_left_alone(caches: Path, weights: Path) -> None:
    old = 100 * HOUR_S
    put(weights / "my-own-weights" / "model.bin", age_s=old)
    put(weights / "notes.txt", age_s=old)
    put(weights / "other-format-float16-00000000000000ff" / "model.bin", age_s=old)
    custom = catalog.parse_custom(f"someone/small@{COMMIT}").folder
    put(weights.parent / custom / f"ggml-float16-{COMMIT[:16]}" / "ggml-model.bin", age_s=old)
    put(weights.parent / "tomorrows-network" / "ggml-float16-00000000000000ff" / "x", age_s=old)
    for folder in ("envs/faster-whisper@1.2.1", "envs/.faster-whisper@1.2.1.abcd", "clips/ab"):
        put(caches / "cache" / folder / "file", age_s=old)
    put(caches / "cache/clips/cd.lock", age_s=old)
    put(caches / "cache/found-out.sqlite", age_s=old)
    put(caches / "home/.cache/whisper/tiny.pt.partial", age_s=old)
    assert planned(caches) == []


def test_locks_and_folders_that_nothing_belongs_to_go(caches: Path, weights: Path) -> None:
    (weights / f"{MADE}.lock").touch()
    (weights.parent / "base").mkdir()
    put(weights.parent / "small" / "ggml-float16-3e305921506d8872.lock", size=0)
    with filelock.FileLock(weights / f"{MADE}.lock"):
        assert len(planned(caches)) == 3
    assert pruned(caches) == [
        "cache/weights/small/ggml-float16-3e305921506d8872.lock",
        f"cache/weights/tiny.en/{MADE}.lock",
    ]
    assert [path.name for path in weights.parent.iterdir()] == ["tiny.en"]


def test_a_folder_that_was_empty_and_is_not_any_more_stays(caches: Path) -> None:
    folder = caches / "cache/weights/base"
    folder.mkdir(parents=True)
    (item,) = remove.plan_pruning()
    put(folder / "file")
    assert trash.remove_item(item) == 0
    assert (folder / "file").exists()


def test_what_was_taken_up_again_since_it_was_planned_stays(caches: Path, weights: Path) -> None:
    put(weights / STAGED / "ggml-model.bin")
    (weights / f"{MADE}.lock").touch()
    items = remove.plan_pruning()
    with filelock.FileLock(weights / f"{MADE}.lock"):
        assert [trash.remove_item(item) for item in items] == [None, None]
    assert (weights / STAGED / "ggml-model.bin").exists()


def test_links_are_not_followed(caches: Path, weights: Path) -> None:
    elsewhere = caches / "elsewhere"
    put(elsewhere / STAGED / "ggml-model.bin", age_s=100 * HOUR_S)
    (weights.parent / "base.en").symlink_to(elsewhere)
    (weights / STAGED).symlink_to(elsewhere)
    os.utime(weights / STAGED, (0, 0), follow_symlinks=False)
    repository = Repository(caches / "hub", "Systran/faster-whisper-tiny.en")
    put(elsewhere / f"{SHA}.incomplete", age_s=100 * 24 * HOUR_S)
    repository.folder.mkdir()
    (repository.folder / "blobs").symlink_to(elsewhere)
    assert pruned(caches) == [f"cache/weights/tiny.en/{STAGED}"]
    assert len(tree(elsewhere)) == 2


def test_unfinished_downloads_go_when_they_are_old_and_of_a_known_repository(caches: Path) -> None:
    day = 24 * HOUR_S
    known = caches / "hub/models--Systran--faster-whisper-tiny.en/blobs"
    old = put(known / f"{SHA}.incomplete", age_s=8 * day)
    put(known / f"{'cd' * 32}.incomplete", age_s=6 * day)
    put(known / ("ef" * 32), age_s=100 * day)
    put(caches / f"hub/models--someone--else/blobs/{SHA}.incomplete", age_s=100 * day)
    put(caches / f"hub/datasets--a--b/blobs/{SHA}.incomplete", age_s=100 * day)
    assert planned(caches, older_than_s=9 * day) == []
    lock = caches / "hub/.locks/models--Systran--faster-whisper-tiny.en" / f"{SHA}.lock"
    lock.parent.mkdir(parents=True)
    with filelock.FileLock(lock):
        assert planned(caches) == []
    assert pruned(caches) == [str(old.relative_to(caches))]
    assert len(pruned(caches, older_than_s=0)) == 1


def test_repositories_that_were_pulled_by_commit_are_known_too(caches: Path) -> None:
    blob = put(caches / f"hub/models--someone--small/blobs/{SHA}.incomplete", age_s=9e5)
    assert planned(caches) == []
    revisions.store_listing(CommitListing("someone/small", COMMIT, (), custom=True))
    assert planned(caches) == [str(blob.relative_to(caches))]


def test_a_record_without_its_snapshot_goes_unless_a_pull_is_under_way(caches: Path) -> None:
    for name in ("someone/small", "someone/whole"):
        revisions.store_listing(CommitListing(name, COMMIT, (), custom=True))
    Repository(caches / "hub", "someone/whole").put(COMMIT, "model.bin", b"weights")
    record = caches / "cache/listings" / f"someone--small@{COMMIT}.json"
    assert planned(caches) == []  # it was written just now
    for path in record.parent.iterdir():
        os.utime(path, (0, 0))
    for revision in (COMMIT, "main"):
        with filelock.FileLock(revisions.lock_path("someone/small", revision)):
            assert planned(caches) == []
    assert pruned(caches) == [
        f"cache/listings/someone--small@{COMMIT}.json",
        f"cache/listings/someone--small@{COMMIT}.lock",
        "cache/listings/someone--small@main.lock",
    ]
    assert tree(record.parent) == [f"someone--whole@{COMMIT}.json"]


def test_records_stay_while_the_disk_with_the_hubs_cache_is_not_there(caches: Path) -> None:
    revisions.store_listing(CommitListing("someone/small", COMMIT, (), custom=True))
    (record,) = (caches / "cache/listings").iterdir()
    os.utime(record, (0, 0))
    (caches / "hub").rmdir()
    assert planned(caches) == []


def test_half_written_records_go_when_they_are_old(caches: Path) -> None:
    put(caches / "cache/listings" / f".a--b@{COMMIT}.json.x9zab12_", age_s=10)
    old = put(caches / "cache/listings" / f".a--b@{COMMIT}.json.ab12_x9z", age_s=2 * HOUR_S)
    rates = put(caches / "cache/.downloads.json.ab12_x9z", age_s=2 * HOUR_S)
    assert pruned(caches) == sorted(str(each.relative_to(caches)) for each in (old, rates))


def test_with_nothing_there_there_is_nothing_to_do(caches: Path) -> None:
    assert remove.plan_pruning() == []
