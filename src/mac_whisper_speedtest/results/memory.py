"""Which memory of a cell is shown and compared, and the peaks of the libraries' allocators.

One kind of figure per system; another kind never replaces it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.results import schema as s

_OWN = ""
"""The quality of ``gpu_peak_bytes`` where the driver shows the worker's own."""


@dataclass(frozen=True, slots=True)
class MemoryFigure:
    """A kind of peak memory.

    Attributes:
        kind: what `Summary` and columns call it.
        name: in a comparison.
        heading: of columns, before the unit.
        words: its description in a note.
        field: of a sample, with the highest so far.
        missing: why a sample has none.
    """

    kind: str
    name: str
    heading: str
    words: str
    field: str
    missing: str

    def of(self, sample: s.SampleResult) -> int | None:
        """The highest so far, as a sample has it."""
        value: int | None = getattr(sample, self.field)
        return value


RESIDENT = MemoryFigure(
    kind="resident",
    name="peak RSS",
    heading="peak",
    words="resident memory",
    field="peak_rss_bytes",
    missing="the worker does not report it",
)
FOOTPRINT = MemoryFigure(
    kind="footprint",
    name="peak footprint",
    heading="footprint",
    words="peak footprint (with Metal's memory)",
    field="peak_footprint_bytes",
    missing="the system does not report it, or an older release measured",
)
_FIGURES = {each.kind: each for each in (RESIDENT, FOOTPRINT)}


def figure_on(system: str) -> MemoryFigure:
    """The figure of that system: resident memory leaves Metal's out, so on macOS the footprint."""
    return FOOTPRINT if system == "Darwin" else RESIDENT


def figure_of(summary: s.Summary | None) -> MemoryFigure:
    """The figure of a cell."""
    return _FIGURES.get(summary.peak_memory_kind if summary else "", RESIDENT)


def headed(heading: str, kinds: Collection[str]) -> str:
    """The heading of a column ``peak MB``, with the kind of its figures."""
    (kind, *others) = kinds or [RESIDENT.kind]
    figure = _FIGURES.get(kind, RESIDENT)
    return heading if others else heading.replace("peak MB", f"{figure.heading} MB")


def peaks_by_process(cell: s.CellResult, figure: MemoryFigure) -> list[int]:
    """The highest of every worker process that has the figure."""
    peaks: dict[tuple[int, int], int] = {}
    for sample in cell.samples:
        process = (sample.round, sample.attempt)
        if peak := figure.of(sample):
            peaks[process] = max(peak, peaks.get(process, 0))
    return list(peaks.values())


# What the libraries' own allocators report.

ALLOCATORS = ("torch_cuda_reserved_peak_bytes", "mlx_peak_bytes", "torch_mps_driver_bytes")
"""Those that are shown, by what `SampleResult.allocator_bytes` calls them; the first that a cell
has. MLX's leaves out what it keeps for later, and torch's on Metal is no peak of a call but what it
holds afterwards."""
_ON_CUDA = ALLOCATORS[0]


@dataclass(frozen=True, slots=True)
class AllocatorPeak:
    """The most that an allocator has held, by the name of its figure."""

    name: str
    size_bytes: int


def allocator_peak(samples: Sequence[s.SampleResult]) -> AllocatorPeak | None:
    """The highest figure of the library's allocator; ``None`` if it reports none."""
    for name in ALLOCATORS:
        found = [each.allocator_bytes[name] for each in samples if name in each.allocator_bytes]
        if found:
            return AllocatorPeak(name, max(found))
    return None


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Peak memory on separate GPUs and its quality, or why it is unknown."""

    size_bytes: int | None
    quality: str


def device_memory(cell: s.CellResult) -> DeviceMemory:
    """As the driver shows it for the worker; if hidden, the peak of the worker's allocator.

    The allocator's leaves out what the driver itself needs for a process. The rise of the whole
    device, which may be of other programs, comes last.
    """
    readings = [meter.readings.get("gpu_peak_bytes") for meter in cell.meters]
    known = [each for each in readings if each is not None and each.value is not None]
    own = [each.value for each in known if each.quality == _OWN and each.value is not None]
    if own:
        return DeviceMemory(int(max(own)), _OWN)
    allocator = allocator_peak(cell.samples)
    if allocator is not None and allocator.name == _ON_CUDA:
        return DeviceMemory(allocator.size_bytes, f"allocator: {allocator.name}")
    total = [each.value for each in known if each.value is not None]
    if total:
        return DeviceMemory(int(max(total)), known[0].quality)
    reason = next((each.reason for each in readings if each and each.reason), "")
    return DeviceMemory(None, f"not measured: {reason}" if reason else "")
