"""What measured: this program, the machine, and how much it is disturbed."""

from __future__ import annotations

from mac_whisper_speedtest.declared import Column, FieldPolicy
from mac_whisper_speedtest.results.schema.base import Struct, fact, inside, kept, named, scrubbed


class ToolInfo(Struct):
    """This program: its version and, from a checkout, its commit."""

    name: str = kept("`mac-whisper-speedtest`")
    version: str = kept("version of this program", column=Column("tool_version"))
    git_sha: str | None = kept(
        "the commit of the checkout it ran from. Uncommitted changes do not show",
        null="it was not run from a checkout, or git did not answer",
        column=Column("tool_git_sha"),
    )


class GpuInfo(Struct):
    """An NVIDIA GPU, or a MIG instance of one; without its serial number and its UUID."""

    name: str = scrubbed(
        "model name; of a MIG instance with its profile, as in `NVIDIA A100-SXM4-40GB MIG 1g.5gb`"
    )
    memory_bytes: int | None = kept("its memory", null="the driver does not report it")
    capability: str | None = scrubbed(
        "compute capability, such as `9.0`", null="the driver does not report it"
    )
    power_limit_w: float | None = kept(
        "the limit on its power that is in force; laptops of one model differ in it",
        "W",
        null="the driver does not report it",
    )


class MachineInfo(Struct):
    """The machine, without anything that names its owner."""

    os: str = kept("`Darwin` or `Linux`", column=Column())
    os_version: str = fact(
        "version of the system: that of macOS; on Linux the kernel's release",
        column=Column(),
        policy=FieldPolicy.NUMBERS,
    )
    os_build: str | None = scrubbed(
        "build of macOS, such as `25C56`",
        null="not macOS, or not known",
        column=Column(),
        default=None,
    )
    architecture: str = kept("`arm64`, `x86_64`, ...", column=Column())
    hardware_model: str | None = scrubbed(
        "Apple's identifier of the model, such as `Mac15,7`; many machines have the same",
        null="not a Mac, or not known",
        column=Column(),
        default=None,
    )
    python: str = kept("the tool's Python. A worker's own is in `versions`")
    cpu: str | None = scrubbed(
        "the processor's model name", null="the system names none", column=Column()
    )
    physical_cores: int | None = kept(
        "physical cores", null="the system does not report it", column=Column()
    )
    logical_cores: int | None = kept(
        "hardware threads", null="the system does not report it", column=Column()
    )
    core_kinds: dict[str, int] | None = scrubbed(
        "kind of core as macOS calls it (`Super`, `Performance`, `Efficiency`) → how many there "
        "are, the fastest first. Efficiency cores get no threads",
        null="there is one kind, or they are not known",
        default=None,
    )
    memory_bytes: int | None = kept(
        "main memory of the machine, whatever a container allows",
        null="the system does not report it",
        column=Column(),
    )
    gpus: list[str] | None = scrubbed(
        "GPU model names; only of Apple's and NVIDIA's",
        null="no such GPU was found",
        column=Column(),
    )
    gpu_cores: int | None = kept(
        "cores of Apple silicon's GPU",
        null="no such GPU, or not known",
        column=Column(),
        default=None,
    )
    nvidia: list[GpuInfo] | None = inside(
        "NVIDIA's GPUs, whatever a worker may see of them; MIG instances in place of their card",
        null="NVML cannot be opened",
        default=None,
    )
    nvidia_driver: str | None = scrubbed(
        "version of NVIDIA's driver", null="as `nvidia`", column=Column(), default=None
    )
    cuda: str | None = scrubbed(
        "the newest CUDA that this driver supports, such as `13.0`; which one a backend was built "
        "with is in its `versions`",
        null="as `nvidia`",
        column=Column(),
        default=None,
    )
    load_average_1m: float | None = kept(
        "load average over the last minute, before the run",
        "processes",
        null="the system does not report it",
    )
    unknown: dict[str, str] = scrubbed(
        "field name → the error of the probe that failed", default={}
    )


class NoiseInfo(Struct):
    """What ``speedtest noise`` found by measuring one cell against itself on this machine.

    The largest floor of all backends tried. Differences are fractions: 0.02 is 2 %.
    """

    floor: float = kept(
        "noise floor of the machine, which identical cells may differ by: the farther end of the "
        "95 % interval of their ratio",
        "fraction",
        column=Column("noise_floor"),
    )
    smallest_detectable: float = kept(
        "the difference that so many rounds find in nine of ten runs", "fraction"
    )
    spread: float = kept("standard deviation of the logarithm of one round's ratio")
    ratio: float = kept("time of the one cell ÷ time of the other")
    verdict: str = kept(
        "the verdict on the two at a margin of 2 %; `FASTER` or `SLOWER` is a false one"
    )
    rounds: int = kept("rounds that both have")
    rounds_for: dict[str, int | None] = kept(
        "difference (`0.01`, `0.02`, `0.05`) → rounds that find it in nine of ten runs; null in "
        "it where no number of rounds does"
    )
    backend: str = named("what it was measured with")
    model: str = named("canonical model name")
    measured_at: str = kept("ISO 8601, UTC")
