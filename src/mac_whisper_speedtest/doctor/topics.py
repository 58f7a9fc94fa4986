"""What is judged of this machine: each topic with what warns or fails, and what to do about it."""

from __future__ import annotations

from mac_whisper_speedtest.declared import Word
from mac_whisper_speedtest.doctor.accelerators import BUSY_PERCENT
from mac_whisper_speedtest.doctor.load import (
    BUSY_SHARE,
    LOAD_PER_CORE,
    LOW_MEMORY_BYTES,
    STALLED_SHARE,
    SWAP_IN_USE_BYTES,
)
from mac_whisper_speedtest.doctor.storage import LITTLE_BYTES, TOO_LITTLE_BYTES
from mac_whisper_speedtest.doctor.system import OLDEST_PYTHON
from mac_whisper_speedtest.files import megabytes

_PYTHON = ".".join(map(str, OLDEST_PYTHON))
_SHOWN = "only shown"


class Topic(Word):
    """Of the lines of ``speedtest doctor``; several GPUs, backends and disks have a line each."""

    PYTHON = "python", f"fails: older than {_PYTHON}", f"`uv python install {_PYTHON}`"
    ARCHITECTURE = (
        "architecture",
        "fails: an Intel Mac, or a Python for Intel under Rosetta",
        "use a Python for Apple silicon",
    )
    SYSTEM = "system", _SHOWN
    VIRTUAL_MACHINE = (
        "virtual machine",
        "warns: one was detected",
        "compare only with numbers of the same machine",
    )
    CHIP = "chip", _SHOWN
    CORES = "cores", "warns: a control group allows less time than there are cores", "raise it"
    MEMORY = (
        "memory",
        f"warns: less than {megabytes(LOW_MEMORY_BYTES)} available, or macOS reports pressure",
        "close programs",
    )
    SWAP = (
        "swap",
        f"warns: more than {megabytes(SWAP_IN_USE_BYTES)} in use on Linux; pressure on macOS",
        "close programs",
    )
    GPU = (
        "gpu",
        (
            "fails: so hot that its clocks are cut; warns: hot, its clocks limited, more than "
            f"{BUSY_PERCENT} % busy, or without a driver"
        ),
        "`nvidia-smi`; let it cool down, or install the driver",
    )
    ENERGY = "energy", "warns: the library that reads the counters is missing", "install it"
    POWER_SOURCE = "power source", "warns: battery", "plug in the power cable"
    POWER_MODE = "power mode", "warns: low", "`sudo pmset`, or `powerprofilesctl set performance`"
    PRIORITY = (
        "priority",
        "warns: a niceness above 0; on macOS the background state",
        "run it in a plain terminal",
    )
    GOVERNOR = "cpu governor", "warns: `powersave`", "`sudo cpupower frequency-set -g performance`"
    THERMAL = (
        "thermal state",
        "fails: heavy, or a critical trip point; warns: moderate, or a speed limit",
        "let the machine cool down",
    )
    LOAD = (
        "background load",
        (
            f"warns: more than {BUSY_SHARE:.0%} of all cores busy, or a load average "
            f"above {LOAD_PER_CORE:g} per core"
        ),
        "close the programs that it names",
    )
    STALLS = (
        "waiting for a core",
        f"warns: more than {STALLED_SHARE:.0%} of the last 10 s",
        "wait until the machine is quiet",
    )
    BACKEND = (
        "backend",
        "warns: its library does not see a GPU that it may use, or cannot compute on it",
        "what the line says: a build, a driver, another wheel",
    )
    BACKENDS = "backends", "warns: none is installed", "`speedtest backends install NAME`"
    NOT_INSTALLED = "not installed", "only shown: the backends that could be installed"
    NOT_HERE = "not for this platform", "only shown: the backends that cannot run here"
    TOOL_CACHE = "tool cache", "fails: cannot be written", "`SPEEDTEST_CACHE_DIR`"
    TOOL_DATA = "tool data", "fails: cannot be written", "`SPEEDTEST_DATA_DIR`"
    HUB_CACHE = "hugging face cache", "warns: cannot be written", "`HF_HUB_CACHE`"
    UV_CACHE = "uv cache", "warns: cannot be written", "`UV_CACHE_DIR`"
    DISK = (
        "disk",
        (
            f"fails: less than {megabytes(TOO_LITTLE_BYTES)} free; warns: less than "
            f"{megabytes(LITTLE_BYTES)}"
        ),
        "`speedtest models prune`, `speedtest clips clear`, `speedtest backends remove`",
    )
    PACKAGES = (
        "packages",
        "fails: a requirement of this tool is not met; warns: an indirect one is not",
        "install it again",
    )
    COMMAND = (
        "command",
        "warns: `speedtest` on the `PATH` is another program, such as Ookla's",
        "`mac-whisper-speedtest` is always this one",
    )
    UV = "uv", "warns: not installed, so that no environment can be made", "`pip install uv`"
    SWIFT = "swift", _SHOWN
    MICROPHONE = "microphone", _SHOWN
    HUB = (
        "hub",
        (
            "warns: cannot be reached, a server error, or a proxy that requires a login; only "
            "asked with `--online`"
        ),
        "check the proxy variables",
    )
