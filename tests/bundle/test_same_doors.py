"""What the tool writes it also reads: the same bounds hold at both doors, and memory is bounded."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.runs import FakeCell, FakeRun, given, run_of_set
from fakes.tampered import forged, lines, with_manifest
from mac_whisper_speedtest.bundle import read, write
from mac_whisper_speedtest.bundle.container import BundleError
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.store import verify


@pytest.fixture
def sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound bundle, and a data folder without runs."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    write.write_bundle(given(tmp_path / "run", public=True), tmp_path / "x.zip")
    return tmp_path / "x.zip"


def _with_samples(run: FakeRun, **changes: Any) -> FakeRun:
    events = [
        msgspec.structs.replace(each, **changes) if isinstance(each, s.Sample) else each
        for each in run.events
    ]
    return FakeRun(run.manifest, events)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"cpu_s": -1.0}, "cpu_s is -1.0"),
        ({"seconds": 1e300}, "seconds is 1e+300"),
        ({"seconds": 5e-324}, "which is impossible"),
        ({"tokens": 1 << 70}, "tokens is"),
        ({"text": "x" * (2 << 20)}, "characters"),
        ({"kind": "other"}, "a sample of kind"),
        ({"utterance": "u9"}, "no recording of its clip"),
    ],
)
def test_what_would_be_refused_is_not_written(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    folder = _with_samples(run_of_set(FakeCell("a"), rounds=1), **changes).write(tmp_path / "run")
    with pytest.raises(UsageError, match="a bundle of this run would be refused") as error:
        write.write_bundle(RunDirectory(folder), tmp_path / "x.zip")
    assert why in error.value.message
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_a_transcript_that_repeats_itself_for_ever_can_be_given_away(tmp_path: Path) -> None:
    run = _with_samples(run_of_set(FakeCell("a"), rounds=6), text="and so on " * 6_500)
    write.write_bundle(RunDirectory(run.write(tmp_path / "run")), tmp_path / "x.zip")
    (cell,) = read.read_bundle(tmp_path / "x.zip").cells
    assert {sample.text for sample in cell.samples} == {"and so on " * 6_500}
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_request_that_is_not_the_one_of_its_hash_is_refused_at_the_door(sound: Path) -> None:
    def other(manifest: dict[str, Any]) -> None:
        manifest["request"]["threads"] += 1

    def wrong(manifest: dict[str, Any]) -> None:
        manifest["request_sha256"] = "0" * 64

    for change in (other, wrong):
        with pytest.raises(BundleError, match="its request has the SHA-256"):
            read.import_verified(with_manifest(sound, change))


def test_what_is_imported_is_found_right_afterwards(sound: Path) -> None:
    assert verify.verify(read.import_verified(sound).run) == []


READS = """
import resource, sys
from pathlib import Path
from mac_whisper_speedtest.bundle import read
from mac_whisper_speedtest.summary import summarize

def peak_bytes():
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss on Linux is at least that of the process before this program
        (line,) = (each for each in status.read_text().splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before = peak_bytes()
try:
    read.read_bundle(Path(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error, file=sys.stderr)
print(peak_bytes() - before)
"""


def _many_segments(line: dict[str, Any]) -> dict[str, Any]:
    return {**line, "segments": [{"start_s": 0, "end_s": 0, "text": ""}] * 100_000}


def _many_facts(line: dict[str, Any]) -> dict[str, Any]:
    return {**line, "stages_s": {f"{number:x}": 0 for number in range(2_000)}}


def _many_lines(line: dict[str, Any]) -> dict[str, Any]:
    return line


@pytest.mark.parametrize("change", [_many_segments, _many_facts, _many_lines])
def test_a_small_file_never_takes_much_memory(
    sound: Path, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """As many of the smallest objects as 1 MB can hold, less than a zip bomb has."""
    found = lines(sound)
    samples = [line for line in found if line["event"] == "sample"]
    text, size = [json.dumps(line) for line in found[:-1]], 0
    for number in range(1_000_000):
        line = {**change(samples[number % len(samples)]), "seconds": 1 + number * 1e-9}
        text.append(json.dumps(line, separators=(",", ":")))
        size += len(text[-1])
        if size > 20 << 20:
            break
    path = forged(sound, {"journal.jsonl": "\n".join([*text, json.dumps(found[-1]), ""]).encode()})
    assert path.stat().st_size < 3 << 20
    done = subprocess.run(
        [sys.executable, "-c", READS, str(path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < (80 << 20) + 250 * path.stat().st_size, done.stderr
    assert "BundleError" in done.stderr
