"""Bundles out of a bucket, once each."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import parks
from mac_whisper_speedtest import files
from mac_whisper_speedtest.bundle import write
from mac_whisper_speedtest.fleet.collect import CollectedBundles, collect
from mac_whisper_speedtest.fleet.storage import BundleName, Storage
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results.directory import RunDirectory

pytest.importorskip("fsspec")


def stored(store: Storage, folder: Path, number: int) -> BundleName:
    run = parks.machine(number, rounds=2, passes=1).write(folder / f"run-{number}")
    path = folder / f"{number}.zip"
    write.write_bundle(RunDirectory(run), path)
    name = BundleName(f"{number:064}", 1, files.sha256_file(path))
    store.put(path, name)
    return name


def test_bundles_of_a_bucket_are_fetched_and_imported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    store = Storage(f"memory://collect-{tmp_path.name}/w48")
    names = [stored(store, tmp_path, number) for number in (1, 2)]
    heard: list[tuple[int, int]] = []

    def collected() -> CollectedBundles:
        return collect(store.address, names, tmp_path / "fleet", lambda *said: heard.append(said))

    first = collected()
    assert (len(first.bundles), first.new, first.refused) == (2, 2, {})
    assert heard == [(1, 2), (2, 2)]
    assert {each.parent for each in first.bundles} == {first.folder}
    assert len(directory.every()) == 2

    # A copy that was damaged here is fetched again; what storage does not have is said.
    first.bundles[0].write_bytes(b"")
    names.append(BundleName("f" * 64, 1, "0" * 64))
    second = collected()
    assert (len(second.bundles), second.new) == (2, 0)
    assert second.refused.keys() == {str(names[2])}
