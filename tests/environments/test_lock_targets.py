"""What a recipe claims is held against what the package index has: by name, in every direction."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from environments.test_environments import away_from_every_index, wheel
from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.environments import lock_targets
from mac_whisper_speedtest.environments.lock_targets import PYTHONS, TARGETS, LockTarget
from mac_whisper_speedtest.errors import SpeedtestError
from mac_whisper_speedtest.reference import locks

MACOS_14, MACOS_15 = LockTarget("darwin-arm64", "14"), LockTarget("darwin-arm64", "15")
LIBRARY = Recipe("tiny", "tiny-lib", "1.0")

NO_SOLUTION = """\
uv pip failed: error: No solution found when resolving dependencies / cause: Because \
{package} {why} and you require {package}, we can conclude that your requirements are \
unsatisfiable. / hint: {hint}"""
NO_NETWORK = """\
uv pip failed: error: Failed to fetch: https://nowhere.invalid/simple/idna/ / cause: error sending \
request for url (https://nowhere.invalid/simple/idna/) / cause: client error (Connect) / cause: \
dns error / cause: failed to lookup address information: Name or service not known"""
OFFLINE = "Packages were unavailable because the network was disabled."


@pytest.mark.parametrize(
    ("package", "why", "hint", "told"),
    [
        (
            "moonshine-voice==0.1.5",
            "has no wheels with a matching platform tag (e.g., `macosx_14_0_arm64`)",
            (
                "Wheels are available for `moonshine-voice` (v0.1.5) on the following platforms: "
                "`manylinux_2_31_aarch64`, `macosx_15_0_arm64`, `win_amd64`"
            ),
            True,
        ),
        (
            "torch==2.8.0",
            "has no wheels with a matching Python ABI tag (e.g., `cp314`)",
            "You require CPython 3.14 (`cp314`), but we only found wheels for `torch` (v2.8.0)",
            True,
        ),
        (
            "openai-whisper==20250625",
            "has no usable wheels",
            "Wheels are required for `openai-whisper` because building from source is disabled",
            True,
        ),
        ("certifi==2026.10.18", "was not found in the cache", OFFLINE, False),
    ],
)
def test_a_wheel_that_is_not_there_is_told_apart_from_a_question_that_failed(
    package: str, why: str, hint: str, told: bool
) -> None:
    """The messages are those of uv 0.13.9, as `uv.call` shortens them."""
    message = NO_SOLUTION.format(package=package, why=why, hint=hint)
    assert lock_targets.package_without_wheel(message) == (package if told else "")
    assert lock_targets.package_without_wheel(NO_NETWORK) == ""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return away_from_every_index(tmp_path, monkeypatch)


def locked(*wheels: Path) -> str:
    digests = (hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels)
    return "tiny-lib==1.0" + "".join(f" \\\n    --hash=sha256:{each}" for each in digests) + "\n"


def test_uv_is_asked_for_other_systems_and_pythons(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_targets, "PYTHONS", ("3.12", "3.13"))
    tags = ("cp312-cp312-macosx_15_0_arm64", "cp313-cp313-manylinux_2_34_x86_64")
    wheels = [wheel(folder, "1.0").rename(folder / f"tiny_lib-1.0-{tag}.whl") for tag in tags]
    found = lock_targets.ask(LIBRARY, locked(*wheels))
    served = {
        (target, python)
        for target in TARGETS
        for python in ("3.12", "3.13")
        if python not in found.get(str(target), {})
    }
    assert served == {
        *((LockTarget("darwin-arm64", each), "3.12") for each in ("15", "26")),
        *((LockTarget("linux-x86_64", each), "3.13") for each in ("2.34", "2.35", "2.39")),
    }
    assert found[str(MACOS_14)]["3.13"] == "tiny-lib==1.0"


def test_what_is_built_from_its_source_needs_no_wheel(folder: Path) -> None:
    text = locked(wheel(folder, "1.0").rename(folder / "tiny_lib-1.0-py3-none-win_amd64.whl"))
    assert lock_targets.lacking(LIBRARY, text, MACOS_15, "3.12") == "tiny-lib==1.0"
    source = replace(LIBRARY, source_only=True)
    assert lock_targets.lacking(source, text, MACOS_15, "3.12") == ""


@pytest.mark.usefixtures("folder")
def test_a_question_that_failed_is_no_answer() -> None:
    with pytest.raises(SpeedtestError, match="tiny-lib was not found"):
        lock_targets.lacking(LIBRARY, "tiny-lib==1.0 --hash=sha256:" + "0" * 64, MACOS_15, "3.12")


@pytest.mark.parametrize(
    ("recipe", "problems"),
    [
        (
            LIBRARY,
            [
                (
                    "tiny claims darwin-arm64 14 with Python 3.11, 3.12, but tiny@1.0 cannot be "
                    "installed there: onnx==1 has no wheel"
                ),
                (
                    "tiny claims linux-aarch64 2.39 with Python 3.14, but tiny@1.0 cannot be "
                    "installed there: torch==2 has no wheel"
                ),
            ],
        ),
        (replace(LIBRARY, macos="15", python=">=3.11,<3.14"), []),
        (replace(LIBRARY, macos="15", platforms=("darwin-arm64", "linux-x86_64")), []),
        (
            replace(LIBRARY, platforms=("darwin-x86_64",)),
            [
                (
                    "tiny claims darwin-x86_64 14 with Python 3.11, 3.12, 3.13, 3.14, but tiny@1.0 "
                    "cannot be installed there: onnx==1 has no wheel"
                ),
            ],
        ),
    ],
)
def test_a_claim_that_a_lock_cannot_serve_is_named_with_both(
    recipe: Recipe, problems: list[str]
) -> None:
    found = {
        str(MACOS_14): {"3.11": "onnx==1", "3.12": "onnx==1"},
        "darwin-x86_64 14": dict.fromkeys(PYTHONS, "onnx==1"),
        "linux-aarch64 2.39": {"3.14": "torch==2"},
    }
    assert lock_targets.excessive(recipe, "tiny@1.0", found) == problems


def test_the_recorded_answers_bear_out_what_the_recipes_claim() -> None:
    record = lock_targets.read_record()
    problems = [
        problem
        for recipe, lock, _ in lock_targets.shipped_locks()
        for problem in lock_targets.excessive(recipe, lock, record.get(lock, {}))
    ]
    assert problems == []
    # And what the recipes leave out cannot be had.
    for lock, target, python in (
        ("moonshine-voice@0.1.5", MACOS_14, "3.12"),
        ("mlx-whisper@0.4.3", LockTarget("linux-x86_64", "2.34"), "3.12"),
        ("whisperx@3.8.6", LockTarget("linux-aarch64", "2.39"), "3.12"),
        ("whisperx@3.8.6", MACOS_15, "3.14"),
        ("faster-whisper@1.2.1", LockTarget("darwin-x86_64", "14"), "3.12"),
    ):
        assert record[lock][str(target)][python]


def test_the_parts_for_cuda_12_are_asked_of_linux_on_x86_64_alone() -> None:
    claimed = {
        name: {
            (target.platform, python)
            for target in TARGETS
            for python in PYTHONS
            if lock_targets.claims(recipe, target, python)
        }
        for recipe, name, _ in lock_targets.shipped_parts()
    }
    assert claimed == {
        "cublas-cuda12": {("linux-x86_64", python) for python in PYTHONS},
        "torch-cuda12": {("linux-x86_64", python) for python in PYTHONS[:-1]},
    }


def test_the_page_has_what_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "darwin-x86_64 14": dict.fromkeys(PYTHONS, "onnx==1"),
        "linux-x86_64 2.39": {"3.14": "torch==2"},
    }
    monkeypatch.setattr(lock_targets, "read_record", lambda: {"tiny@1.0": found})
    rows = [line for line in locks.locks().splitlines() if line.startswith("| `tiny@1.0`")]
    served, lacking = rows[:-2], rows[-2:]
    cells = [each.strip() for row in served for each in row.split("|")[2:-1]]
    assert dict(zip(map(str, TARGETS), cells, strict=True)) == {
        **{str(target): "all" for target in TARGETS},
        "darwin-x86_64 14": "none",
        "linux-x86_64 2.39": "3.11, 3.12, 3.13",
    }
    assert lacking == [
        "| `tiny@1.0` | `onnx==1` | darwin-x86_64 14 |",
        "| `tiny@1.0` | `torch==2` | linux-x86_64 2.39 (3.14) |",
    ]
