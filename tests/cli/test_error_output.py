"""What a command writes when it fails: one error, a hint, and no secret."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Call, Tool

SECRET = "hunter2-Zq81xT0pv"


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A secret in the environment, and a data folder without runs."""
    monkeypatch.setenv("MY_SERVICE_TOKEN", SECRET)
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path))


@pytest.mark.parametrize(
    "words",
    [
        ("show", SECRET),
        ("show", f"/nowhere/{SECRET}.zip"),
        ("compare", SECRET, "latest"),
        ("show", f"--{SECRET}"),
        ("export", "latest", "--format", SECRET),
        ("results", "list", "--state", SECRET),
        ("run", "-m", SECRET),
        ("run", "-m", "tiny.en", "--tag", f"{SECRET}!"),
    ],
)
def test_no_error_message_repeats_a_secret(words: tuple[str, ...], speedtest: Call) -> None:
    answer = speedtest(*words)
    assert answer.code == 2
    assert "rror" in answer.err
    assert SECRET not in answer.err + answer.out


def test_the_traceback_of_a_defect_repeats_no_secret(tool: Tool) -> None:
    code = (
        "import os, sys\n"
        "from mac_whisper_speedtest import __main__, cli\n"
        "def defect(): raise RuntimeError(os.environ['MY_SERVICE_TOKEN'])\n"
        "cli.main = defect\n"
        "sys.exit(__main__.main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "RuntimeError: <" in done.stderr
    assert SECRET not in done.stderr
