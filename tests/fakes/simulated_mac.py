"""A small Mac for the tool to run on: a home, the programs that macOS has, and Apple's tools.

``mac/sitecustomize.py`` makes the tool's own process take it for one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fakes import machines
from fakes.swift_tools import StandInTools

TESTS = Path(__file__).parents[1]
SYSCTL = {
    "machdep.cpu.brand_string": "Apple M1",
    "hw.model": "MacBookAir10,1",
    "hw.memsize": "17179869184",
    "hw.physicalcpu": "8",
    "hw.logicalcpu": "8",
    "hw.nperflevels": "2",
    "hw.perflevel0.physicalcpu": "4",
    "hw.perflevel0.name": "Performance",
    "hw.perflevel1.physicalcpu": "4",
    "hw.perflevel1.name": "Efficiency",
    "iogpu.wired_limit_mb": "0",
    "kern.hv_vmm_present": "0",
    "kern.memorystatus_vm_pressure_level": "1",
    "sysctl.proc_translated": "0",
    "vm.swapusage": "total = 2048.00M  used = 0.00M  free = 2048.00M  (encrypted)",
}
GPU = """<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><array><dict>
<key>IOClass</key><string>AGXAcceleratorG13G_B0</string>
<key>model</key><string>Apple M1</string><key>gpu-core-count</key><integer>8</integer>
</dict></array></plist>"""
SERIAL = '"IOPlatformUUID" = "5E9C1A70-1111-2222-3333-444455556666"'
ANSWERS = {
    "pmset -g batt": "Now drawing from 'AC Power'\n -InternalBattery-0 (id=1)\t100%; charged;",
    "pmset -g therm": "Note: No thermal warning level has been recorded",
    "pmset -g": "System-wide power settings:\nCurrently in use:\n powermode            0\n womp 1",
    "ioreg -rc AGXAccelerator -d1 -a": GPU,
    "ioreg -p IODeviceTree -n cpus -r -d2 -a": machines.device_tree("EEEEPPPP"),
    "ioreg -rd1 -c IOPlatformExpertDevice": SERIAL,
    "system_profiler SPAudioDataType -json": '{"SPAudioDataType": []}',
    "system_profiler SPDisplaysDataType -json": '{"SPDisplaysDataType": []}',
}
PROGRAM = """
name, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
if name == "sysctl":
    table = plan["sysctl"]
    if words[0] == "-n":
        unknown = [word for word in words[1:] if word not in table]
        print("\\n".join(table[word] for word in words[1:] if word in table))
        sys.exit(f"sysctl: unknown oid '{unknown[0]}'" if unknown else 0)
    print("\\n".join(f"{key}: {value}" for key, value in table.items() if key.startswith("hw.")))
elif name == "caffeinate":
    import signal
    signal.pause()
elif name == "sandbox-exec":
    # A profile that denies the network: on Linux, a namespace without one.
    import ctypes, os
    if "(deny network*)" in words[1] and ctypes.CDLL(None).unshare(0x10000000 | 0x40000000):
        sys.exit("sandbox-exec: no namespaces here")
    os.execvp(words[2], words[2:])
else:
    key = " ".join([name, *words])
    if key not in plan["answers"]:
        sys.exit(f"{name}: {words}: not simulated")
    print(plan["answers"][key])
"""
PROGRAMS = (
    *("sysctl", "pmset", "sw_vers", "ioreg", "system_profiler", "caffeinate", "sandbox-exec"),
    "xcode-select",
)


class SimulatedMac:
    """The machine.

    Args:
        folder: a new one for everything that it has.
        macos: its release.
        build: of that release.

    Attributes:
        home: of its user.
        tools: Apple's command line tools.
        swapouts: pages that go to swap from one look at the system's counts to the next.
    """

    swapouts = 0

    def __init__(self, folder: Path, *, macos: str = "15.5", build: str = "24F74") -> None:
        self._macos = macos
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self._programs = folder / "bin"
        self._programs.mkdir()
        self.tools = StandInTools(folder / "tools")
        plan = folder / "mac.json"
        system = {"sw_vers -productVersion": macos, "sw_vers -buildVersion": build}
        plan.write_text(json.dumps({"sysctl": SYSCTL, "answers": {**ANSWERS, **system}}))
        start = (
            f"#!{sys.executable} -SE\n"
            "import json, pathlib, sys\n"
            f"plan = json.loads(pathlib.Path({str(plan)!r}).read_text())\n"
        )
        for name in PROGRAMS[:-1]:
            (self._programs / name).write_text(start + PROGRAM)
            (self._programs / name).chmod(0o755)
        (self._programs / PROGRAMS[-1]).symlink_to(self.tools.folder / PROGRAMS[-1])
        # What this Mac's Swift builds.
        bridge = self.tools.folder / "program"
        bridge.write_text(
            f"#!{sys.executable} -SE\n"
            "import pathlib, sys\n"
            "sys.dont_write_bytecode = True\n"
            f"sys.path.insert(0, {str(TESTS)!r})\n"
            "from fakes import mac_bridge\n"
            "mac_bridge.main(pathlib.Path(sys.argv[0]).name, sys.argv[1:])\n"
        )

    def variables(self) -> dict[str, str]:
        """What the tool's process needs to be on this Mac."""
        return {
            "SIMULATED_MAC": str(self._programs),
            "SIMULATED_MACOS": self._macos,
            "SIMULATED_SWAPOUTS": str(self.swapouts),
            "HOME": str(self.home),
        }
