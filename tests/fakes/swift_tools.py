"""A stand-in for Apple's command line tools: real programs that do what a plan says.

``StandInTools(folder)`` puts ``swift``, ``xcode-select`` and ``xcrun`` into a folder for PATH. The
program that this ``swift`` builds speaks enough of the worker protocol to answer ``hello``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mac_whisper_speedtest.backends import recipe as recipes

XCODE_SELECT = """
if "no tools" in plan["faults"]:
    sys.exit("xcode-select: error: unable to get active developer directory")
print("/Library/Developer/CommandLineTools")
"""
XCRUN = """
print(plan["sdk"])
"""
SWIFT = """
import os, shutil, signal, subprocess, time
faults = plan["faults"]
arguments = sys.argv[1:]
with (here / "calls").open("a") as calls:
    calls.write(" ".join(arguments) + "\\n")
(here / "variables.json").write_text(json.dumps(dict(os.environ)))
if arguments == ["--version"]:
    if "license" in faults:
        sys.exit("You have not agreed to the Xcode license agreements.")
    print(f"Apple Swift version {plan['version']} (swiftlang-{plan['version']}.1.10)")
    print("Target: arm64-apple-macosx15.0")
    sys.exit()

def value(name):
    return pathlib.Path(arguments[arguments.index(name) + 1])

package, scratch = value("--package-path"), value("--scratch-path")
assert (package / "Package.swift").is_file(), package
checkouts = scratch / "checkouts"

if arguments[0] == "package":
    assert arguments[-3:] == ["show-dependencies", "--format", "json"], arguments
    if "offline" in faults and not checkouts.is_dir():
        sys.stderr.write("error: Failed to clone repository https://github.com/a/b:\\n")
        address = "https://me:ghp_" + "a1B2" * 9 + "@github.com/a/b/"
        sys.exit(f"fatal: unable to access '{address}': Could not resolve host: github.com")
    if "bad manifest" in faults:
        sys.exit("error: 'whisperkit': Invalid manifest")
    checkouts.mkdir(parents=True, exist_ok=True)
    pins = [
        {"identity": name, "kind": "remoteSourceControl", "location": f"https://github.com/a/{name}",
         "state": {"revision": revision, "version": "1.1.0"}}
        for name, revision in plan["revisions"].items()
    ]
    (package / "Package.resolved").write_text(json.dumps({"pins": pins, "version": 3}))
    tree = [{"identity": name, "dependencies": []} for name in plan["revisions"]]
    print(json.dumps({"identity": package.name, "dependencies": tree}))
    sys.exit()

assert arguments[:3] == ["build", "-c", "release"], arguments
products = scratch / "arm64-apple-macosx" / "release"
if arguments[-1] == "--show-bin-path":
    print(products)
    sys.exit()
product = arguments[arguments.index("--product") + 1]
print("[1/3] Compiling SpeedtestProtocol Engine.swift", flush=True)
if "slow" in faults:
    time.sleep(1)
if "hang" in faults:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    (scratch / "half-written").write_text("")
    # SwiftPM starts its compilers in process groups of their own.
    child = subprocess.Popen(["/bin/sleep", "600"], process_group=0)
    (here / "running").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)
if "half-written breaks" in faults and (scratch / "half-written").exists():
    sys.exit("error: manifest of the build is malformed")
if "compile error" in faults:
    print("WhisperKitEngine.swift:12:5: error: cannot find 'Whisper' in scope")
    sys.exit("error: fatalError")
if "full disk" in faults:
    sys.exit("error: other(28): No space left on device")
products.mkdir(parents=True, exist_ok=True)
if not (scratch / "release").exists():
    (scratch / "release").symlink_to("arm64-apple-macosx/release")
if "no product" not in faults:
    built = products / product
    built.write_text((here / "program").read_text())
    built.chmod(0o755)
    (products / "Package_Tables.bundle").mkdir(exist_ok=True)
    (products / "Package_Tables.bundle" / "table.txt").write_text("1")
    (products / "left.o").write_text("an object file")
print("[3/3] Linking " + product)
"""
PROGRAM = """
if "silent" in plan["faults"]:
    sys.exit("dyld: Library not loaded")
own_name = pathlib.Path(sys.argv[0]).name.removeprefix("speedtest-")
for line in sys.stdin:
    call = json.loads(line)
    result = {"protocol": 1, "name": plan["name"] or own_name, "version": "1.1.0"}
    result["versions"] = {"os": "15.5"}
    answer = {"jsonrpc": "2.0", "id": call["id"], "result": result}
    print(json.dumps(answer), flush=True)
"""


class StandInTools:
    """The tools in a folder.

    Attributes:
        folder: for PATH.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.plan()
        start = (
            f"#!{sys.executable} -SE\n"
            "import json, pathlib, sys\n"
            f"here = pathlib.Path({str(folder)!r})\n"
            'plan = json.loads((here / "plan.json").read_text())\n'
        )
        texts = {"swift": SWIFT, "xcode-select": XCODE_SELECT, "xcrun": XCRUN}
        texts["program"] = PROGRAM
        for name, text in texts.items():
            (folder / name).write_text(start + text)
            (folder / name).chmod(0o755)

    def plan(
        self,
        *faults: str,
        version: str = "6.1.2",
        sdk: str = "15.5",
        name: str = "",
        revisions: dict[str, str] | None = None,
    ) -> None:
        """Say what the tools are to do from now on.

        Args:
            faults: what goes wrong, in the words of the programs above.
            version: of Swift.
            sdk: its version.
            name: what the built program answers ``hello`` with; empty for its own name.
            revisions: of the packages that are resolved.
        """
        plan: dict[str, Any] = {"faults": faults, "version": version, "sdk": sdk, "name": name}
        plan["revisions"] = revisions or {
            "argmax-oss-swift": "1e2a163736dfa5a198e637ae44c114e1c6d5cc2d",
            "swift-argument-parser": "c5d11a805e765f52ba34ec7284bd4fcd6ba68615",
        }
        # Replaced in one step: a program may read it at the same time.
        (self.folder / "plan.new").write_text(json.dumps(plan))
        (self.folder / "plan.new").replace(self.folder / "plan.json")

    def calls(self, word: str) -> list[str]:
        """The calls of ``swift`` that begin with a word."""
        try:
            lines = (self.folder / "calls").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line for line in lines if line.startswith(word)]

    def variables(self) -> dict[str, str]:
        """The environment of the last call of ``swift``."""
        found: dict[str, str] = json.loads((self.folder / "variables.json").read_text())
        return found

    def running(self) -> list[int]:
        """The processes of a build that hangs; empty if there is none yet."""
        try:
            return [int(each) for each in (self.folder / "running").read_text().split()]
        except FileNotFoundError:
            return []


def on_a_mac(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StandInTools:
    """Make the tool take this machine for a Mac with these tools, and a cache of its own."""
    made = StandInTools(folder / "tools")
    monkeypatch.setenv("PATH", f"{made.folder}:/usr/bin:/bin")
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setattr(recipes, "this_platform", lambda: "darwin-arm64")
    return made
