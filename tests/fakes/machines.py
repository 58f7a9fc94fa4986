"""What machines that are not here answer: commands' outputs, constructed after their manuals."""

from __future__ import annotations

import plistlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown

SYSCTL = "/usr/sbin/sysctl"
PMSET = "/usr/bin/pmset"
IOREG = "/usr/sbin/ioreg -rc AGXAccelerator -d1 -a"
CPUS = "/usr/sbin/ioreg -p IODeviceTree -n cpus -r -d2 -a"
PROFILER = "/usr/sbin/system_profiler"
GPU_FIELDS = (
    "name,driver_version,memory.total,memory.used,utilization.gpu,temperature.gpu,mig.mode.current"
)
SMI = f"nvidia-smi --query-gpu={GPU_FIELDS} --format=csv,noheader,nounits"
SMI_REASONS = "nvidia-smi --query-gpu=clocks_event_reasons.active --format=csv,noheader"
SMI_OLD_REASONS = "nvidia-smi --query-gpu=clocks_throttle_reasons.active --format=csv,noheader"


class Recorded(Reader):
    """A machine that answers these commands and has the files below ``root``."""

    def __init__(
        self, commands: Mapping[str, Answer], *, platform: str, root: Path = Path("/no-such-root")
    ) -> None:
        super().__init__(root=root, platform=platform)
        self.commands = commands
        self.asked: list[str] = []

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float = 0.0,
        environment: Mapping[str, str] | None = None,
    ) -> Answer:
        """The recorded answer to this command line."""
        line = " ".join(argv)
        self.asked.append(line)
        return self.commands.get(line, Unknown(f"{Path(argv[0]).name} is not installed"))


def files(root: Path, texts: Mapping[str, str]) -> Path:
    """Make these files below ``root``."""
    for name, text in texts.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def sysctl_hw(*kinds: tuple[str, int]) -> str:
    """What ``sysctl hw`` prints on a Mac with these kinds of core, in its order and shortened."""
    cores = sum(count for _, count in kinds)
    levels = "".join(
        f"hw.perflevel{level}.physicalcpu: {count}\nhw.perflevel{level}.physicalcpu_max: {count}\n"
        f"hw.perflevel{level}.logicalcpu: {count}\nhw.perflevel{level}.logicalcpu_max: {count}\n"
        f"hw.perflevel{level}.l1dcachesize: 131072\nhw.perflevel{level}.name: {name}\n"
        for level, (name, count) in enumerate(kinds)
    )
    return (
        f"hw.ncpu: {cores}\nhw.byteorder: 1234\nhw.memsize: 38654705664\nhw.activecpu: {cores}\n"
        f"{levels}hw.optional.arm.FEAT_FlagM: 1\nhw.optional.neon: 1\nhw.physicalcpu: {cores}\n"
        f"hw.physicalcpu_max: {cores}\nhw.logicalcpu: {cores}\nhw.logicalcpu_max: {cores}\n"
        f"hw.cputype: 16777228\nhw.packages: 1\nhw.nperflevels: {len(kinds)}\n"
        "hw.targettype: J514s\n"
    )


def device_tree(clusters: str) -> str:
    """ioreg's property list of the processors: the letter of each one's cluster."""
    cpus = [
        {
            "IORegistryEntryName": f"cpu{number}",
            "IOObjectClass": "IOPlatformDevice",
            "device_type": b"cpu\0",
            "cluster-type": letter.encode() + b"\0",
            "logical-cpu-id": number,
        }
        for number, letter in enumerate(clusters)
    ]
    node = {"IORegistryEntryName": "cpus", "name": b"cpus\0", "IORegistryEntryChildren": cpus}
    return plistlib.dumps([node]).decode()


HW_M3_PRO = sysctl_hw(("Performance", 6), ("Efficiency", 6))
HW_VIRTUAL = "hw.ncpu: 4\nhw.physicalcpu: 4\nhw.logicalcpu: 4\nhw.nperflevels: 1\n"
HW_INTEL = "hw.ncpu: 16\nhw.physicalcpu: 8\nhw.logicalcpu: 16\nhw.memsize: 34359738368\n"

ON_MAINS = """\
Now drawing from 'AC Power'
 -InternalBattery-0 (id=22282339)\t100%; charged; 0:00 remaining present: true
"""
ON_BATTERY = """\
Now drawing from 'Battery Power'
 -InternalBattery-0 (id=22282339)\t63%; discharging; 4:12 remaining present: true
"""
DESKTOP = "Now drawing from 'AC Power'\n"
SETTINGS = """\
System-wide power settings:
Currently in use:
 standby              1
 powernap             1
 networkoversleep     0
 disksleep            10
 sleep                1 (sleep prevented by powerd)
 ttyskeepawake        1
 {mode}
 womp                 1
"""
NO_WARNINGS = """\
Note: No thermal warning level has been recorded
Note: No performance warning level has been recorded
"""
INTEL_HOT = """\
Note: No thermal warning level has been recorded
CPU Power notify
\tCPU_Scheduler_Limit \t= 100
\tCPU_Available_CPUs \t= 8
\tCPU_Speed_Limit \t= 62
"""
SWAP = "total = 2048.00M  used = {used}  free = 1035.75M  (encrypted)"
AGX = plistlib.dumps(
    [{"model": "Apple M3 Pro", "gpu-core-count": 18, "IOPlatformSerialNumber": "C02SECRET01"}]
).decode()
DISPLAYS_INTEL = '{"SPDisplaysDataType": [{"sppci_model": "AMD Radeon Pro 5500M"}]}'
DISPLAYS_VIRTUAL = '{"SPDisplaysDataType": [{"sppci_model": "Apple Paravirtual device"}]}'
AUDIO = """{"SPAudioDataType": [{"_items": [
    {"_name": "Clara's AirPods", "coreaudio_device_input": 1,
     "coreaudio_device_transport": "coreaudio_device_type_bluetooth"},
    {"_name": "MacBook Pro Microphone", "coreaudio_device_input": 1,
     "coreaudio_default_audio_input_device": "spaudio_yes",
     "coreaudio_device_transport": "coreaudio_device_type_builtin"},
    {"_name": "MacBook Pro Speakers", "coreaudio_device_output": 2,
     "coreaudio_device_transport": "coreaudio_device_type_builtin"}]}]}"""
SWIFT = """\
swift-driver version: 1.127.14.1 Apple Swift version 6.2.3 (swiftlang-6.2.3.3.21 clang-1700.6.3.2)
Target: arm64-apple-macosx26.0
"""

_NO_SUCH_NAME = Unknown("sysctl ended with status 1: sysctl: unknown oid 'sysctl.proc_translated'")

M3_PRO: dict[str, Answer] = {
    f"{SYSCTL} -n sysctl.proc_translated": "0",
    "/usr/bin/sw_vers -productVersion": "26.2",
    "/usr/bin/sw_vers -buildVersion": "25C56",
    f"{SYSCTL} -n kern.hv_vmm_present": "0",
    f"{SYSCTL} -n machdep.cpu.brand_string": "Apple M3 Pro",
    f"{SYSCTL} -n hw.model": "Mac15,7",
    f"{SYSCTL} hw": HW_M3_PRO,
    f"{SYSCTL} -n hw.memsize": "38654705664",
    f"{SYSCTL} -n kern.memorystatus_vm_pressure_level": "1",
    f"{SYSCTL} -n vm.swapusage": SWAP.format(used="0.00M"),
    f"{PMSET} -g batt": ON_MAINS,
    f"{PMSET} -g": SETTINGS.format(mode="lowpowermode         0"),
    f"{PMSET} -g therm": NO_WARNINGS,
    IOREG: AGX,
    CPUS: device_tree("EEEEEEPPPPPP"),
    f"{PROFILER} SPAudioDataType -json": AUDIO,
    "/usr/bin/xcode-select -p": "/Applications/Xcode.app/Contents/Developer",
    "swift --version": SWIFT,
    "/bin/ps -A -c -o pcpu=,comm=": "  0.3 WindowServer\n  0.0 launchd\n",
}
MAC_VM: dict[str, Answer] = M3_PRO | {
    f"{SYSCTL} -n kern.hv_vmm_present": "1",
    f"{SYSCTL} -n machdep.cpu.brand_string": "Apple M2 (Virtual)",
    f"{SYSCTL} -n hw.model": "VirtualMac2,1",
    f"{SYSCTL} hw": HW_VIRTUAL,
    f"{PMSET} -g batt": DESKTOP,
    f"{PMSET} -g": SETTINGS.format(mode="displaysleep         0"),
    IOREG: "",
    f"{PROFILER} SPDisplaysDataType -json": DISPLAYS_VIRTUAL,
    "/usr/bin/xcode-select -p": Unknown("xcode-select ended with status 2: error: unable to get"),
}
INTEL_MAC: dict[str, Answer] = M3_PRO | {
    f"{SYSCTL} -n sysctl.proc_translated": _NO_SUCH_NAME,
    f"{SYSCTL} -n machdep.cpu.brand_string": "Intel(R) Core(TM) i9-9880H CPU @ 2.30GHz",
    f"{SYSCTL} -n hw.model": "MacBookPro16,1",
    f"{SYSCTL} hw": HW_INTEL,
    f"{PMSET} -g therm": INTEL_HOT,
    IOREG: "",
    f"{PROFILER} SPDisplaysDataType -json": DISPLAYS_INTEL,
}
ROSETTA: dict[str, Answer] = M3_PRO | {f"{SYSCTL} -n sysctl.proc_translated": "1"}

CPUINFO_METAL = (
    "processor\t: 0\nmodel name\t: AMD Ryzen 9 7950X 16-Core Processor\n"
    "flags\t\t: fpu vme sse2 avx2 avx512f\n"
)
CPUINFO_VM = CPUINFO_METAL.replace("avx512f", "avx512f hypervisor")
CPUINFO_ARM = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n"
MEMINFO = """\
MemTotal:       65637372 kB
MemFree:         1204928 kB
MemAvailable:   48731948 kB
SwapTotal:       8388604 kB
SwapFree:        {free} kB
"""
LINUX_DESKTOP = {
    "/etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.2 LTS"\n',
    "/proc/cpuinfo": CPUINFO_METAL,
    "/proc/meminfo": MEMINFO.format(free=8388604),
    "/proc/self/cgroup": "0::/user.slice/user-1000.slice/session-2.scope\n",
    "/proc/sys/kernel/osrelease": "6.8.0-52-generic",
    "/proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
    "/sys/class/dmi/id/sys_vendor": "ASUS\n",
    "/sys/class/dmi/id/product_name": "System Product Name\n",
    "/sys/class/power_supply/hidpp_battery_0/type": "Battery\n",
    "/sys/class/power_supply/hidpp_battery_0/scope": "Device\n",
    "/sys/class/power_supply/hidpp_battery_0/status": "Discharging\n",
    "/sys/firmware/acpi/platform_profile": "balanced\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver": "acpi-cpufreq\n",
    "/sys/class/thermal/thermal_zone0/type": "x86_pkg_temp\n",
    "/sys/class/thermal/thermal_zone0/temp": "46000\n",
    "/sys/class/thermal/thermal_zone0/trip_point_0_type": "passive\n",
    "/sys/class/thermal/thermal_zone0/trip_point_0_temp": "95000\n",
    "/proc/asound/cards": " 0 [PCH  ]: HDA-Intel - HDA Intel PCH\n",
    "/proc/asound/pcm": "00-00: ALC257 Analog : ALC257 Analog : playback 1 : capture 1\n",
}
LINUX_COMMANDS: dict[str, Answer] = {
    SMI: "NVIDIA GeForce RTX 4090, 570.86.15, 24564, 412, 0, 41, [N/A]",
    SMI_REASONS: "0x0000000000000001",
}
