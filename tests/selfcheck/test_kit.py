"""A kit: written without names, read without trust, and judged again as it was."""

from __future__ import annotations

import zipfile
from pathlib import Path

import msgspec
import pytest

from fakes.kits import kit_of
from mac_whisper_speedtest import privacy
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.privacy import Secret
from mac_whisper_speedtest.selfcheck import checks, kit
from mac_whisper_speedtest.selfcheck.bench import measurement
from mac_whisper_speedtest.selfcheck.kit import REMOVED, read_kit, write_kit

ENDING = measurement(
    "ending", {"status": "crashed", "class": "SIGSEGV", "started": 2, "left": 0, "marked": 0},
    subject="SIGSEGV",
)  # fmt: skip


def test_what_was_written_is_read(tmp_path: Path) -> None:
    found = kit_of(ENDING, raw={"sw_vers": "ProductName:\tmacOS\nProductVersion:\t15.5"})
    write_kit(found, tmp_path / "kit.zip")
    assert read_kit(tmp_path / "kit.zip") == found
    with zipfile.ZipFile(tmp_path / "kit.zip") as archive:
        assert archive.namelist() == ["kit.json", "sw_vers.txt"]


def test_names_of_people_and_machines_go_into_no_kit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        privacy, "secrets", lambda: [Secret("user name", "annasmith"), Secret("host name", "nas7")]
    )
    named = measurement("identity", {"cpu": "annasmith's chip", "gpus": "see /Users/annasmith/x"})
    serial = (
        "    Serial Number : 1324620012345\n    GPU UUID : GPU-0a1b2c3d-0000-1111-2222-333344445555"
    )
    found = kit.without_names(kit_of(named, raw={"nvidia-smi": f"on NAS7\n{serial}\nFan : 30 %"}))
    text = msgspec.json.encode(found).decode().lower()
    for secret in ("annasmith", "nas7", "1324620012345", "0a1b2c3d"):
        assert secret not in text
    assert found.raw["nvidia-smi"].endswith("Fan : 30 %")


def test_a_text_in_which_something_remains_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "scrub_for_others", lambda text: text)
    found = kit.without_names(
        kit_of(raw={"mount": "/dev/x on /Volumes/a@example.org (hf_" + "a1B2" * 9 + ")"})
    )
    assert found.raw == {"mount": REMOVED}


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"kit.json": b"{}"}, "missing required field"),
        ({"kit.json": b"[" * 3000}, "nested deeper"),
        ({"other.txt": b""}, "no such file"),
        ({"../kit.json": b"{}"}, "leads out of the folder"),
        ({"sw_vers.txt": b"x"}, "has no kit.json"),
        ({"kit.json": b"0" * (9 << 20)}, "at most"),
    ],
)
def test_what_is_no_kit_is_refused(tmp_path: Path, members: dict[str, bytes], why: str) -> None:
    path = tmp_path / "kit.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(UsageError, match=why):
        read_kit(path)


def test_a_kit_of_another_version_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    write_kit(msgspec.structs.replace(kit_of(), version=9), tmp_path / "kit.zip")
    with pytest.raises(UsageError, match="version 9"):
        read_kit(tmp_path / "kit.zip")
    with pytest.raises(UsageError, match="no file"):
        read_kit(tmp_path / "none.zip")


@pytest.mark.parametrize("worst", [0.0, -1.0, 1e14])
def test_forged_figures_are_judged_and_never_raise(worst: float) -> None:
    names = (
        *("burned_s", "cpu_s", "wall_s", "outside_cpu_s", "outside_share", "cpu_resolution_s"),
        *("quiet_before", "quiet_after", "stranger_s", "limit_cores", "load_average", "cores"),
        *("started", "left", "marked", "physical_cores", "logical_cores", "memory_bytes"),
    )
    figures = {name: [worst] for name in names}
    forged = [
        measurement(name, {**figures, "status": "x", "class": "y", "os": "Darwin"})
        for name in (*(check.name for check in checks.CHECKS), "identity gpu", "no such check")
    ]
    checkup = checks.judged(kit_of(*forged))
    assert len(checkup.lines) >= len(forged)


def test_what_a_kit_says_cannot_look_like_another_line() -> None:
    forged = measurement("backend", {"status": "x", "message": "y\nPASS  clock  40 ns\x1b[2K" * 99})
    lines = checks.judged(kit_of(msgspec.structs.replace(forged, subject="a\n\nFAIL b"))).lines
    (line,) = [line for line in lines if line.topic == "a FAIL b"]
    assert "\n" not in line.seen
    assert len(line.seen) < 1000


def test_a_text_that_is_too_long_is_not_compared() -> None:
    words = "word " * 200_000
    cell = {"status": "ok", "asked": "cpu", "device": "cpu", "precision": "int8"}
    found = measurement("backend", {**cell, "text": words, "reference": words[5:]}, subject="a")
    lines = {line.topic: line for line in checks.judged(kit_of(found)).lines}
    assert lines["a: text"].seen == "its text is longer than the recording can be"


def test_a_check_that_the_kit_lacks_is_not_known() -> None:
    checkup = checks.judged(kit_of(ENDING))
    assert checkup.fit
    topics = {line.topic: line.state for line in checkup.lines}
    assert topics["ending: SIGSEGV"] == "ok"
    assert topics["processor worker"] == "unknown"
