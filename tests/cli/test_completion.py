"""The scripts of ``speedtest completion``, in the shells that they are for."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fakes.runs import stored

HEAVY = ("rich", "numpy", "av")


@pytest.fixture(autouse=True)
def shell_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``speedtest`` on the PATH that runs this code, and a store with a run that has tags."""
    program = tmp_path / "bin" / "speedtest"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "from mac_whisper_speedtest.__main__ import main\n"
        "try:\n"
        "    sys.exit(main())\n"
        "finally:\n"
        f"    for name in {HEAVY}:\n"
        "        if name in sys.modules:\n"
        "            print('imported', name, file=sys.stderr)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))


def script(shell: str, tmp_path: Path) -> Path:
    path = tmp_path / f"script.{shell}"
    made = subprocess.run(["speedtest", "completion", shell], capture_output=True, check=True)
    path.write_bytes(made.stdout)
    return path


def in_bash(tmp_path: Path, *words: str) -> list[str]:
    """What bash would offer for the last of these words."""
    code = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
        "_speedtest_completion speedtest\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = script("bash", tmp_path)
    done = subprocess.run(
        ["bash", "--norc", "-c", code, "-", path, "speedtest", *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert not done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("comp",), ["compare", "completion"]),
        (("run", "-m", "tin"), ["tiny.en", "tiny"]),
        (("run", "-m", "tiny.en", "-m", "tin"), ["tiny"]),
        (("run", "--backend", "faster-whisper-"), ["faster-whisper-batched"]),
        (("run", "--contract", "be"), ["beam5"]),
        (("run", "--device", "m"), ["metal", "mps"]),
        (("models", "pull", "mediu"), ["medium.en", "medium"]),
        (("backends", "install", "openai"), ["openai-whisper"]),
        (("check-models", "--verify-"), ["--verify-method"]),
        (("compare", "a", "b", "--fail-on", "slo"), ["slower"]),
        (("run", "--clip", ""), ["short", "cities", "long"]),
        (("run", "-m", "nothing-like-this"), []),
    ],
)
def test_bash_completes_names_without_heavy_imports(
    tmp_path: Path, words: tuple[str, ...], offered: list[str]
) -> None:
    assert sorted(in_bash(tmp_path, *words)) == sorted(offered)


def test_bash_completes_runs_and_tags_but_no_text_that_a_shell_would_execute(
    tmp_path: Path,
) -> None:
    stored(tags=["before"])
    run = stored(tags=["after"])
    foreign = run.manifest_path.read_text().replace('"after"', '"after","a;reboot","$(reboot)"')
    assert "reboot" in foreign
    run.manifest_path.write_text(foreign)

    assert in_bash(tmp_path, "show", "") == ["latest", "after", "before", "2", "1"]
    assert in_bash(tmp_path, "compare", "1", "a") == ["after"]
    assert in_bash(tmp_path, "compare", "pre") == ["previous-comparable"]
    assert in_bash(tmp_path, "results", "list", "--tag", "b") == ["before"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_names(tmp_path: Path) -> None:
    code = f"source {script('fish', tmp_path)}; complete -C 'speedtest models pull tin'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert sorted(done.stdout.split()) == ["tiny", "tiny.en"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_names_at_the_tab_key(tmp_path: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.execvp("zsh", ["zsh", "-f", "-i"])
    try:
        ready = f"autoload -Uz compinit; compinit -u -d {tmp_path}/dump; source "
        os.write(terminal, f"{ready}{script('zsh', tmp_path)}; echo 're''ady'\n".encode())
        assert "ready" in seen(terminal, "\nready")
        os.write(terminal, b"speedtest run --contract be\t")
        assert "beam5" in seen(terminal, "beam5")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def seen(terminal: int, expected: str, within_s: float = 30.0) -> str:
    """What a terminal has shown by the time that it shows ``expected``."""
    shown, end_s = "", time.monotonic() + within_s
    while expected not in shown and (left_s := end_s - time.monotonic()) > 0:
        if select.select([terminal], [], [], left_s)[0]:
            shown += os.read(terminal, 4096).decode(errors="replace").replace("\r", "")
    return shown
