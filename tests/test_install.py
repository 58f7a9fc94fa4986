"""``python3 install.py``: what it says to a Python that is too old, and which pip it takes."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "install.py"
OLD = [
    path
    for pattern in ("3.[6-9].*", "3.10.*")
    for path in sorted(Path("~/.pyenv/versions").expanduser().glob(f"{pattern}/bin/python3"))
]


def test_a_python_that_is_too_old_can_read_it() -> None:
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 6))


@pytest.mark.skipif(not OLD, reason="no older Python is here")
@pytest.mark.parametrize("python", OLD, ids=lambda path: path.parts[-3])
def test_a_python_that_is_too_old_says_which_is_needed_and_how_to_get_it(
    python: Path, tmp_path: Path
) -> None:
    for here, hint in (
        (tmp_path, "https://www.python.org"),
        (newer(tmp_path), "type:  python3.12 "),
    ):
        done = subprocess.run(
            [python, SCRIPT],
            env={"PATH": str(here)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 1
        first, second = done.stderr.splitlines()[:2]
        assert first.startswith("mac-whisper-speedtest needs Python 3.11 or newer; ")
        assert first.endswith(f"{python} is {python.parts[-3]}.")
        assert hint in second


@pytest.mark.parametrize(
    ("system", "machine", "translated", "first"),
    [
        ("Darwin", "x86_64", "1", "is a Python for Intel Macs and runs under Rosetta."),
        ("Darwin", "x86_64", "0", "mac-whisper-speedtest needs Apple silicon: its libraries have"),
        ("Darwin", "arm64", "0", "end"),
        ("Linux", "x86_64", "1", "end"),
    ],
)
def test_a_python_for_intel_macs_says_what_to_type(
    system: str, machine: str, translated: str, first: str
) -> None:
    code = (
        f"import sys, types; sys.path.insert(0, {str(ROOT)!r}); import install as i\n"
        f"i.platform.system = lambda: {system!r}; i.platform.machine = lambda: {machine!r}\n"
        f"i.subprocess.run = lambda *_, **__: types.SimpleNamespace(stdout='{translated}\\n')\n"
        "i.installs_from_outside = lambda: sys.exit('end')\n"
        "i.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert first in done.stderr.splitlines()[0]
    assert ("brew install" in done.stderr) is ("Rosetta" in first)


@pytest.mark.parametrize(("option", "status"), [("--help", 0), ("-h", 0), ("--user", 1)])
def test_an_option_installs_nothing(option: str, status: int, tmp_path: Path) -> None:
    script = tmp_path / "install.py"
    script.write_bytes((ROOT / "install.py").read_bytes())

    done = subprocess.run(
        [sys.executable, script, option], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == status
    assert "python3 install.py" in done.stdout
    assert list(tmp_path.iterdir()) == [script]


def newer(tmp_path: Path) -> Path:
    """A folder with a Python that works, and one that does not."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python3.13").write_text("#!/bin/sh\nexit 127\n")
    (folder / "python3.13").chmod(0o755)
    (folder / "python3.12").symlink_to(sys.executable)
    return folder


@pytest.mark.parametrize(("pip", "outside"), [("21.2.4", False), ("22.3", True), ("", False)])
def test_pip_installs_from_outside_if_it_can(tmp_path: Path, pip: str, outside: bool) -> None:
    venv.create(tmp_path / "env")
    if pip:
        site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
        (site / "pip").mkdir()
        (site / "pip" / "__main__.py").write_text(f"print('pip {pip} from here (python 3)')")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import install\n"
    done = subprocess.run(
        [
            tmp_path / "env" / "bin" / "python",
            "-c",
            f"{code}print(install.installs_from_outside())",
        ],
        env={key: text for key, text in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == str(outside)
