"""What else was different: the machine's state, versions and settings of two runs side by side."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mac_whisper_speedtest.backends.contract import SETTING_NAMES
from mac_whisper_speedtest.compare.document import FactChange
from mac_whisper_speedtest.results import cells, comparable
from mac_whisper_speedtest.results import schema as s

_UNITS = {
    "load_average_1m": "threads",
    "swap_used_bytes": "byte",
    "memory_stall_share": "fraction",
    "hottest_c": "°C",
    "gpu_clocks_mhz": "MHz",
    "cpu_mhz": "MHz",
    "cpu_limit_mhz": "MHz",
    "canary_s": "s",
}
"""Of conditions that are numbers; the others are words."""

_Value = float | str | bool

SETTING = "setting "
"""Before the name of an effective setting: other work was done where it differs."""


def conditions(base: s.Run, new: s.Run) -> list[FactChange]:
    """The state of the machine around the rounds of both runs: median and range of numbers.

    A number differs where the two ranges have nothing in common, a word where its set of values is
    another.
    """
    first, second = _conditions(base.rounds), _conditions(new.rounds)
    return [
        FactChange(
            name=name,
            unit=_UNITS.get(name, ""),
            base=_shown(first.get(name)),
            new=_shown(second.get(name)),
            differs=_apart(first.get(name), second.get(name)),
        )
        for name in dict.fromkeys([*first, *second])
    ]


def of_manifests(base: s.Manifest, new: s.Manifest) -> list[FactChange]:
    """The tool, the system, the request and the libraries of both runs: only what differs."""
    return _different(_of_manifest(base), _of_manifest(new))


def of_cells(base: s.CellResult, new: s.CellResult) -> list[FactChange]:
    """The backend, its libraries, weights and effective settings of both: only what differs."""
    return _different(_of_cell(base), _of_cell(new))


def _different(base: Mapping[str, object], new: Mapping[str, object]) -> list[FactChange]:
    return [
        FactChange(
            name=name,
            unit="",
            base=_text(base.get(name)),
            new=_text(new.get(name)),
            differs=True,
        )
        for name in dict.fromkeys([*base, *new])
        if base.get(name) != new.get(name)
    ]


def _of_manifest(manifest: s.Manifest) -> dict[str, object]:
    request, driver = manifest.request, manifest.machine.nvidia_driver
    return {
        "tool": f"{manifest.tool.version} {manifest.tool.git_sha or ''}".strip(),
        "system": comparable.system_of(manifest.machine),
        "NVIDIA driver": f"{driver} (CUDA {manifest.machine.cuda})" if driver else None,
        "all workers": ", ".join(manifest.host) or None,
        "python": manifest.machine.python,
        "threads": request.threads,
        "device asked": request.device,
        "precision asked": request.precision,
        "samples per round": request.passes,
        "affinity": request.affinity,
        "nice": request.nice or None,
        "noise floor": f"{manifest.noise.floor:.1%}" if manifest.noise else None,
        **{f"library {name}": version for name, version in manifest.libraries.items()},
    }


def _of_cell(cell: s.CellResult) -> dict[str, object]:
    backend, info, weights = cell.backend, cell.model.info, cell.model.weights
    return {
        "version": backend.version,
        "device": backend.device,
        "GPU": ", ".join(cells.used_gpus(cell)) or None,
        "precision": backend.precision,
        **backend.versions,
        **{f"detail {name}": value for name, value in backend.details.items()},
        "weights": f"{info.format} {info.precision}" if weights else None,
        "weights from": weights.source if weights else None,
        **{
            f"{SETTING}{name}": cell.contract.effective[name]
            for name in SETTING_NAMES
            if name in cell.contract.effective
        },
        **{f"remark {each}": "yes" for each in cell.contract.remarks},
    }


def _conditions(rounds: Sequence[s.RoundResult]) -> dict[str, list[_Value]]:
    found: dict[str, list[_Value]] = {}
    for each in rounds:
        for moment in (each.before, each.after):
            for name, value in moment.values.items():
                found.setdefault(name, []).append(value)
    canaries = list(canary(rounds))
    if canaries:
        found["canary_s"] = [*canaries]
    return found


def canary(rounds: Iterable[s.RoundResult]) -> Iterator[float]:
    """Seconds of the canary after each round."""
    for each in rounds:
        if each.canary_after_s:
            yield each.canary_after_s


def _numbers(values: Sequence[_Value]) -> list[float] | None:
    numbers = [float(each) for each in values if isinstance(each, int | float)]
    words = any(isinstance(each, bool | str) for each in values)
    return None if words else numbers


def _shown(values: Sequence[_Value] | None) -> str | None:
    if values is None:
        return None
    numbers = _numbers(values)
    if numbers is None:
        return " / ".join(dict.fromkeys(_text(each) or "none" for each in values))
    low, high = min(numbers), max(numbers)
    middle = f"{statistics.median(numbers):.4g}"
    return middle if low == high else f"{middle} ({low:.4g}–{high:.4g})"


def _apart(base: Sequence[_Value] | None, new: Sequence[_Value] | None) -> bool:
    if base is None or new is None:
        return True
    first, second = _numbers(base), _numbers(new)
    if first is None or second is None:
        return set(map(str, base)) != set(map(str, new))
    return max(first) < min(second) or max(second) < min(first)


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return None if value is None else str(value)
