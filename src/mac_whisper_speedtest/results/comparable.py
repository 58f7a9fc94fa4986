"""Which runs can be compared: the same contract, speech, networks and kind of machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mac_whisper_speedtest.backends.contract import OWN_LANGUAGE
from mac_whisper_speedtest.results import digests
from mac_whisper_speedtest.results.schema.machine import GpuInfo, MachineInfo
from mac_whisper_speedtest.results.schema.manifest import Manifest, WeightsInfo

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Comparable:
    """What two runs must share before a difference between them says something about a backend.

    Attributes:
        contract: SHA-256 of the settings that every backend was asked to decode with, and of each
            recording's language where they are several.
        speech: hashes of the samples of the run's clips, sorted.
        hardware: the kind of machine, in words.
        networks: model name → hash of its network; models without known weights are left out.
    """

    contract: str
    speech: tuple[str, ...]
    hardware: str
    networks: dict[str, str]

    @property
    def key(self) -> str:
        """16 hexadecimal digits that are equal for equal contract, speech and hardware.

        Networks are compared per model, because two runs may share only some of their models.
        """
        return digests.sha256([self.contract, list(self.speech), self.hardware])[:16]


def comparable_part(manifest: Manifest) -> Comparable:
    """What the run can be compared by."""
    networks = {
        plan.model: found for plan in manifest.cells if (found := network_sha256(plan.weights))
    }
    return Comparable(
        contract=digests.sha256([manifest.request.contract, *_own_languages(manifest)]),
        speech=tuple(sorted(clip.pcm_sha256 for clip in manifest.clips)),
        hardware=hardware_class(manifest.machine),
        networks=networks,
    )


def _own_languages(manifest: Manifest) -> list[dict[str, str | None]]:
    """Recording → language, where every recording was decoded in its own; else empty."""
    if manifest.request.contract.get("language") != OWN_LANGUAGE:
        return []
    return [{each.name: each.language for each in clip.recordings} for clip in manifest.clips]


def network_sha256(weights: WeightsInfo | None) -> str | None:
    """The hash of a network in any format; ``None`` if no weights are known."""
    if weights is None:
        return None
    return weights.network_sha256 or digests.sha256(sorted(weights.files.values()))


def hardware_class(machine: MachineInfo) -> str:
    """The kind of machine in words: system, processor, cores, memory to the nearest GiB, GPUs.

    Two machines of one class are expected to be equally fast; it identifies no machine. Of
    macOS the major release counts, because Apple's frameworks and the builds of MLX change with it,
    and not the build: else every update would begin new boards. `system_of` names both.
    """
    mac = machine.os == "Darwin"
    kinds = " + ".join(f"{count} {name}" for name, count in (machine.core_kinds or {}).items())
    parts = [
        f"macOS {machine.os_version.partition('.')[0]}" if mac else machine.os,
        machine.cpu or machine.architecture,
        f"{machine.physical_cores or machine.logical_cores or '?'} cores"
        + (f" ({kinds})" if kinds else ""),
        f"{round(machine.memory_bytes / _GIB)} GiB" if machine.memory_bytes else "? GiB",
        *(map(gpu_words, machine.nvidia or ())),
        *(gpu for gpu in machine.gpus or [] if gpu != machine.cpu and not machine.nvidia),
        *([f"{machine.gpu_cores} GPU cores"] if machine.gpu_cores else []),
        *([machine.hardware_model] if machine.hardware_model else []),
    ]
    return ", ".join(parts)


def gpu_words(gpu: GpuInfo) -> str:
    """A GPU with what makes two of one name differ in speed: memory, and the limit on its power."""
    memory = [f"{round(gpu.memory_bytes / _GIB)} GiB"] if gpu.memory_bytes else []
    power = [f"{gpu.power_limit_w:.0f} W"] if gpu.power_limit_w else []
    return " ".join([gpu.name, *memory, *power])


def system_of(machine: MachineInfo) -> str:
    """The operating system with its version, and of macOS its build."""
    name = "macOS" if machine.os == "Darwin" else machine.os
    build = f" ({machine.os_build})" if machine.os_build else ""
    return f"{name} {machine.os_version}{build}"


def differences(base: Manifest, new: Manifest) -> list[str]:
    """Why two runs cannot be compared, each reason a sentence; empty when they can."""
    return list(_differences(base, new))


def _differences(base: Manifest, new: Manifest) -> Iterator[str]:
    first, second = comparable_part(base), comparable_part(new)
    if first.contract != second.contract:
        one, other = base.request.contract, new.request.contract
        changed = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
        yield "the contract differs: " + (
            ", ".join(f"{name} {one.get(name)!r} and {other.get(name)!r}" for name in changed)
            or "some recordings were decoded in another language"
        )
    if first.speech != second.speech:
        yield f"the speech differs: {_clips(base)} and {_clips(new)}"
    for model in sorted(first.networks.keys() & second.networks.keys()):
        if first.networks[model] != second.networks[model]:
            yield (
                f"the network {model} differs: {first.networks[model][:12]} and "
                f"{second.networks[model][:12]}"
            )
    if first.hardware != second.hardware:
        yield f"the hardware differs: {first.hardware} and {second.hardware}"


def _clips(manifest: Manifest) -> str:
    return " + ".join(f"{clip.name} ({clip.pcm_sha256[:12]})" for clip in manifest.clips)
