"""Install the tool and its demonstration into ``.venv`` beside this file: ``python3 install.py``.

Needs Python 3.11 or newer and a package index; pip may be old or missing. Python 3.6 and newer can
read this file, so that an older one ends with a line that says how to get a newer one.
"""

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
FOLDER = ROOT / ".venv"
PYTHON = FOLDER / "bin" / "python"
OUTSIDE = (sys.executable, "-m", "pip", "--python", PYTHON)
INSIDE = (PYTHON, "-m", "pip")
INSTALL = ("install", "--quiet", "--no-compile", f"{ROOT}[demo]")
NEWER = ("python3.13", "python3.12", "python3.14", "python3.11")
"""Programs that will do, the first choice first."""


def how_to_get_python() -> str:
    """What to type where this Python is too old."""
    found = next(filter(works, NEWER), "")
    if found:
        return f"{found} is on this machine; type:  {found} install.py"
    if sys.platform == "darwin":
        return (
            "type:  brew install python@3.12 && python3.12 install.py\n(or https://www.python.org)"
        )
    return (
        "get it from your system's packages or https://www.python.org; then:  python3.12 install.py"
    )


def intel_mac() -> str:
    """What to type on a Mac whose Python is one for Intel; empty elsewhere."""
    if platform.system() != "Darwin" or platform.machine() != "x86_64":
        return ""
    command = ["/usr/sbin/sysctl", "-n", "sysctl.proc_translated"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    if said.strip() != "1":
        return "mac-whisper-speedtest needs Apple silicon: its libraries have left Intel Macs."
    return (
        f"{sys.executable} is a Python for Intel Macs and runs under Rosetta.\n"
        "type:  /opt/homebrew/bin/brew install python@3.12 && "
        "/opt/homebrew/bin/python3.12 install.py"
    )


def works(name: str) -> bool:
    """Whether a Python on the PATH can make an environment."""
    if shutil.which(name) is None:
        return False
    command, quiet = [name, "-c", "import ssl, venv"], subprocess.DEVNULL
    return subprocess.call(command, stdout=quiet, stderr=quiet) == 0


def call(*command: "str | Path") -> None:
    """Run a command that must succeed."""
    words = list(map(str, command))
    status = subprocess.call(words)
    if status:
        sys.exit(f"install.py: {' '.join(words[:5])} ... ended with status {status}")


def installs_from_outside() -> bool:
    """Whether this Python's pip can install into another environment: pip 22.3 and newer."""
    command = [sys.executable, "-m", "pip", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    version = re.match(r"pip (\d+)\.(\d+)", said)
    return version is not None and (int(version[1]), int(version[2])) >= (22, 3)


def main() -> None:
    """Make the environment and install into it, with this Python's pip if it is new enough."""
    if sys.argv[1:]:
        sys.stdout.write(__doc__)
        sys.exit(0 if sys.argv[1] in ("-h", "--help") else "install.py takes no options")
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts this may have an older one
        this = ".".join(map(str, sys.version_info[:3]))
        needed = f"mac-whisper-speedtest needs Python 3.11 or newer; {sys.executable} is {this}."
        sys.exit(f"{needed}\n{how_to_get_python()}")
    unfit = intel_mac()  # Python 3.6 cannot read :=
    if unfit:
        sys.exit(unfit)
    if installs_from_outside():
        # Debian's Python cannot put pip into an environment; newer ones work from outside.
        call(sys.executable, "-m", "venv", "--without-pip", FOLDER)
        call(*OUTSIDE, *INSTALL)
    else:
        call(sys.executable, "-m", "venv", FOLDER)
        call(*INSIDE, *INSTALL)


if __name__ == "__main__":
    main()
