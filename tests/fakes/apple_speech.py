"""A stand-in for ``speedtest-apple-speech``: a program that speaks its JSON, honestly or not.

It is written into a folder, and reads from a file beside it which locales the system has. The
arguments of every call are kept in another one. As a worker, it is a fake adapter.
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from mac_whisper_speedtest.worker import bootstrap

ASSETS = {
    "schema_version": 1,
    "available": True,
    "build": "25A354",
    "macos": "26.0.0",
    "supported": ["de-DE", "en-GB", "en-US"],
    "installed": ["en-US"],
    "reserved": ["en-US"],
}

_PROGRAM = """\
#!{python}
import json, os, pathlib, sys, time

here = pathlib.Path(__file__).parent
with (here / "calls.txt").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
assets = json.loads((here / "assets.json").read_text())
if sys.argv[1:] == ["assets"]:
    {on_assets}
    print(json.dumps(assets))
elif sys.argv[1] == "--results":
    os.execv({python!r}, [{python!r}, "-P", {bootstrap!r}, "faulty_adapter:Faulty", {fakes!r}])
elif sys.argv[1] == "install":
    {on_install}
    assets["installed"].append(sys.argv[2])
    (here / "assets.json").write_text(json.dumps(assets))
    print(json.dumps(assets))
elif sys.argv[1] == "release":
    {on_release}
    assets["reserved"].remove(sys.argv[2])
    print(json.dumps(assets))
"""


class StandInBridge:
    """The program in ``folder``.

    Args:
        folder: where it is written to.
        on_assets: a statement that it begins ``assets`` with.
        on_install: a statement that it begins ``install`` with.
        on_release: a statement that it begins ``release`` with.
        changes: to what the system has.
    """

    def __init__(
        self,
        folder: Path,
        *,
        on_assets: str = "pass",
        on_install: str = "pass",
        on_release: str = "pass",
        **changes: Any,
    ) -> None:
        self.program = folder / "speedtest-apple-speech"
        self._folder = folder
        program = _PROGRAM.format(
            python=sys.executable,
            bootstrap=bootstrap.__file__,
            fakes=str(Path(__file__).parent),
            on_assets=textwrap.indent(on_assets, "    ").strip(),
            on_install=textwrap.indent(on_install, "    ").strip(),
            on_release=textwrap.indent(on_release, "    ").strip(),
        )
        self.program.write_text(program, encoding="utf-8")
        self.program.chmod(0o755)
        assets = json.dumps(ASSETS | changes)
        (folder / "assets.json").write_text(assets, encoding="utf-8")

    @property
    def calls(self) -> list[str]:
        """The arguments of every call so far, one text each."""
        calls = self._folder / "calls.txt"
        return calls.read_text(encoding="utf-8").splitlines() if calls.is_file() else []

    def describe(self) -> Path:
        """A TOML file that describes it as a backend named ``stand-in``."""
        path = self._folder / "stand-in.toml"
        path.write_text(
            '[backend]\nname = "stand-in"\nweights_format = "apple-speech"\n'
            'weights_precision = "unstated"\n'
            f'command = ["{self.program}", "--results", "final"]\n'
            'environment = { FAULT = "takes_no_path" }\n',
            encoding="utf-8",
        )
        return path
