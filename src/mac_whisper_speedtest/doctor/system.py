"""Operating system, virtualization, chip and cores; the tool's Python, uv and Swift."""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass

import psutil

from mac_whisper_speedtest.doctor.lines import CheckupLine, Readiness, fail, ok, unknown, warn
from mac_whisper_speedtest.machine import apple, cgroup
from mac_whisper_speedtest.machine.describe import cpu_model
from mac_whisper_speedtest.machine.reader import SYSCTL, Answer, Reader, Unknown, attempt

_VIRTUAL_PRODUCTS = re.compile(
    r"qemu|kvm|vmware|virtualbox|innotek|\bxen\b|bochs|parallels|virtual machine"
    r"|google compute engine|amazon ec2|openstack|apple virtualization|firecracker"
    r"|cloud hypervisor",
    re.IGNORECASE,
)
_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")
_CONTAINER_GROUPS = re.compile(r"docker|kubepods|containerd|/lxc|libpod")
_SAME_MACHINE = "compare only with numbers of this machine"


def inspect_system(reader: Reader) -> list[CheckupLine]:
    """The lines about the system and its processor."""
    if reader.macos:
        return [
            macos_version(*apple.system(reader)),
            macos_virtual(reader.sysctl("kern.hv_vmm_present")),
            macos_chip(
                reader.sysctl("machdep.cpu.brand_string"),
                reader.sysctl("hw.model"),
            ),
            macos_cores(reader.run([SYSCTL, "hw"])),
        ]
    cpuinfo = reader.read("/proc/cpuinfo")
    return [
        linux_version(reader.read("/etc/os-release"), platform.release()),
        linux_virtual(
            LinuxSigns(
                cpuinfo=cpuinfo,
                vendor=reader.read("/sys/class/dmi/id/sys_vendor"),
                product=reader.read("/sys/class/dmi/id/product_name"),
                kernel=reader.read("/proc/sys/kernel/osrelease"),
                container=any(map(reader.exists, _CONTAINER_FILES))
                or in_container_group(reader.read("/proc/self/cgroup")),
            )
        ),
        linux_chip(cpuinfo, reader.read("/proc/device-tree/model")),
        linux_cores(
            usable=attempt(lambda: len(os.sched_getaffinity(0))),
            physical=attempt(lambda: psutil.cpu_count(logical=False)),
            limit=cgroup.cpu_quota(reader),
        ),
    ]


def macos_version(version: Answer, build: Answer) -> CheckupLine:
    """The release and build of macOS; Core ML's caches depend on the build."""
    if isinstance(version, Unknown):
        return unknown("system", version.reason)
    return ok("system", f"macOS {version}" + (f" ({build})" if isinstance(build, str) else ""))


def linux_version(os_release: Answer, kernel: str) -> CheckupLine:
    """The names of the distribution and the kernel."""
    named = None
    if isinstance(os_release, str):
        named = re.search(r'^PRETTY_NAME="?([^"\n]+)', os_release, re.MULTILINE)
    return ok("system", f"{named[1]}, Linux {kernel}" if named else f"Linux {kernel}")


def macos_virtual(present: Answer) -> CheckupLine:
    """Whether macOS runs in a virtual machine, from ``kern.hv_vmm_present``."""
    if isinstance(present, Unknown):
        return unknown("virtual machine", present.reason)
    if present.strip() == "1":
        return warn(
            "virtual machine",
            "yes: no Neural Engine, and the load of the host is invisible",
            _SAME_MACHINE,
        )
    return ok("virtual machine", "no")


@dataclass(frozen=True, slots=True)
class LinuxSigns:
    """What reveals a virtual machine or a container on Linux.

    Attributes:
        cpuinfo: the text of /proc/cpuinfo; x86 has the flag ``hypervisor`` in virtual machines.
        vendor: of the system, in the firmware's tables.
        product: its name there.
        kernel: its release; that of WSL contains "microsoft".
        container: whether files or control groups of a container engine were found.
    """

    cpuinfo: Answer
    vendor: Answer
    product: Answer
    kernel: Answer
    container: bool


def linux_virtual(signs: LinuxSigns) -> CheckupLine:
    """Whether Linux runs in a virtual machine or a container."""
    topic = "virtual machine"
    inside = ", in a container" if signs.container else ""
    firmware = " ".join(
        each for each in (signs.vendor, signs.product) if isinstance(each, str) and each
    )
    cpuinfo = signs.cpuinfo if isinstance(signs.cpuinfo, str) else ""
    if isinstance(signs.kernel, str) and "microsoft" in signs.kernel.lower():
        return warn(topic, f"yes: WSL{inside}", _SAME_MACHINE)
    # Bare-metal cloud instances have the product names of their virtual counterparts.
    if _VIRTUAL_PRODUCTS.search(firmware) and not re.search(r"\bmetal\b", firmware):
        return warn(topic, f"yes: {firmware}{inside}", _SAME_MACHINE)
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    if flags and "hypervisor" in flags[1].split():
        return warn(topic, f"yes: the processor has the flag hypervisor{inside}", _SAME_MACHINE)
    if flags or firmware:
        return ok(topic, f"no{inside}")
    reasons = [each.reason for each in (signs.cpuinfo, signs.vendor) if isinstance(each, Unknown)]
    return unknown(topic, f"{'; '.join(reasons) or 'this processor does not report it'}{inside}")


def in_container_group(cgroup: Answer) -> bool:
    """Whether /proc/self/cgroup names a container engine."""
    return isinstance(cgroup, str) and bool(_CONTAINER_GROUPS.search(cgroup))


def macos_chip(brand: Answer, model: Answer) -> CheckupLine:
    """The chip and the model identifier; neither identifies the owner."""
    if isinstance(brand, Unknown):
        return unknown("chip", brand.reason)
    return ok("chip", f"{brand} ({model})" if isinstance(model, str) and model else brand)


def linux_chip(cpuinfo: Answer, device_tree: Answer) -> CheckupLine:
    """The model name of the processor, or of the board if the processor has none."""
    if isinstance(cpuinfo, str):
        named = attempt(lambda: cpu_model(cpuinfo))
        if isinstance(named, str):
            return ok("chip", named)
    else:
        named = cpuinfo
    if isinstance(device_tree, str) and device_tree.strip("\0 "):
        return ok("chip", device_tree.strip("\0 "))
    return unknown("chip", named.reason)


def macos_cores(hw: Answer) -> CheckupLine:
    """The cores of each kind, from what ``sysctl hw`` prints.

    Level 0 is the fastest. Intel Macs and some virtual machines have no levels.
    """
    if isinstance(hw, Unknown):
        return unknown("cores", hw.reason)
    kinds, values = apple.parse_core_kinds(hw), apple.hw_values(hw)
    if isinstance(kinds, Unknown):
        return unknown("cores", kinds.reason)
    seen = values["physicalcpu"]
    if len(kinds) > 1:
        named = " + ".join(f"{kind.physical} {kind.name}" for kind in kinds)
        return ok("cores", f"{seen}: {named}")
    return ok("cores", f"{seen} physical, {values.get('logicalcpu', '?')} logical")


def linux_cores(
    *, usable: int | Unknown, physical: int | Unknown | None, limit: float | None
) -> CheckupLine:
    """The cores this process may use.

    Once a control group's quota is used up, its threads stop for the rest of a tenth of a second
    (Linux, Documentation/scheduler/sched-bwc), which distorts even medians.

    Args:
        usable: logical cores that the scheduler gives this process.
        physical: physical cores of the machine.
        limit: cores' worth of time that the control group may use; ``None`` for no limit.
    """
    if isinstance(usable, Unknown):
        return unknown("cores", usable.reason)
    seen = f"{usable} usable"
    if isinstance(physical, int):
        seen += f", {physical} physical in the machine"
    if limit is not None and limit < usable:
        return warn(
            "cores",
            f"{seen}; the control group allows the time of {limit:g}",
            "give the container whole cores instead: docker run --cpuset-cpus",
        )
    return ok("cores", seen)


# The Python that the tool runs in.


OLDEST_PYTHON = (3, 11)
"""As ``requires-python`` in pyproject.toml."""

_ARM64_PYTHON = "uv python install 3.12, and install the tool with it"


def inspect_interpreter(reader: Reader) -> list[CheckupLine]:
    """The lines about this interpreter."""
    # Children of a translated process are translated too, so the answer holds for this process.
    translated = reader.sysctl("sysctl.proc_translated")
    version = sys.version_info
    return [
        judge_python(
            (version.major, version.minor, version.micro),
            f"{platform.python_implementation()}, {platform.machine()}",
        ),
        judge_architecture(platform.machine(), translated, macos=reader.macos),
    ]


def judge_python(version: tuple[int, int, int], kind: str) -> CheckupLine:
    """Whether Python is one that the tool supports."""
    seen = f"{'.'.join(map(str, version))} ({kind})"
    if version[:2] < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return fail("python", f"{seen}, older than {oldest}", f"uv python install {oldest}")
    return ok("python", seen)


def judge_architecture(machine: str, translated: Answer, *, macos: bool) -> CheckupLine:
    """Whether this Python runs natively, on a machine that libraries have wheels for.

    Args:
        machine: the architecture that this Python was built for, such as ``arm64``.
        translated: the answer of ``sysctl -n sysctl.proc_translated``: 1 under Rosetta, 0 without,
            and an error on an Intel Mac, which has no such name.
        macos: whether this is macOS.
    """
    topic = "architecture"
    if not macos or machine == "arm64":
        return ok(topic, f"{machine}, native")
    if translated == "1":
        return fail(
            topic,
            f"{machine} under Rosetta: slow, and backends have no wheels for it",
            _ARM64_PYTHON,
        )
    if isinstance(translated, Unknown) and "unknown oid" not in translated.reason:
        return unknown(topic, f"{machine}; whether under Rosetta: {translated.reason}")
    seen = f"{machine}, native: an Intel Mac, for which backends have no wheels"
    return fail(topic, seen, "use a Mac with Apple silicon, or Linux")


# uv, which creates environments, and Swift, which builds bridges.


_SWIFT_TIMEOUT_S = 8.0  # the first call after an update of macOS is slow


def find_uv() -> str | Unknown:
    """The path of the program in the uv package.

    Do not call it from two threads at once: in some releases of Python 3.11 the second call gets
    incomplete data from ``sysconfig`` (CPython issue 92452).
    """
    return attempt(_find_uv)


def inspect_tools(reader: Reader, found: str | Unknown) -> list[CheckupLine]:
    """The lines about programs; ``found`` is the result of :func:`find_uv`."""
    version = reader.run([found, "--version"]) if isinstance(found, str) else found
    lines = [judge_uv(found, version)]
    if not reader.macos:
        return [*lines, ok("swift", "not needed here: Swift backends are for macOS")]
    developer = reader.run(["/usr/bin/xcode-select", "-p"])
    # Without developer tools, /usr/bin/swift opens a window to install them.
    compiler: Answer = developer
    if isinstance(developer, str):
        compiler = reader.run(["swift", "--version"], timeout_s=_SWIFT_TIMEOUT_S)
    return [*lines, judge_swift(developer, compiler)]


def judge_uv(found: str | Unknown, version: Answer) -> CheckupLine:
    """Whether environments for backends can be created.

    Args:
        found: the path of the program.
        version: the output of ``uv --version``.
    """
    if isinstance(found, Unknown):
        return warn(
            "uv",
            f"not installed: no environments for backends can be created ({found.reason})",
            "python -m pip install uv",
        )
    if isinstance(version, Unknown):
        return unknown("uv", version.reason, "python -m pip install --force-reinstall uv")
    return ok("uv", " ".join(version.split()[:2]).removeprefix("uv "))


def judge_swift(developer: Answer, version: Answer) -> CheckupLine:
    """Whether Swift backends can be built on this Mac; nothing else needs it."""
    if isinstance(developer, Unknown):
        seen = f"no developer tools ({developer.reason}); only Swift backends need them"
        return CheckupLine("swift", Readiness.OK, seen, "xcode-select --install")
    if isinstance(version, Unknown):
        return unknown("swift", version.reason, "xcode-select -p")
    first = next((line for line in version.splitlines() if "Swift version" in line), version)
    return ok("swift", f"{first.strip()} ({developer})")


def _find_uv() -> str:
    import uv as package

    return package.find_uv_bin()
