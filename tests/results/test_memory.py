"""Which memory of a cell is shown and compared, and where memory of a GPU is from."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.results import memory
from mac_whisper_speedtest.results import schema as s

MAC = {"os": "Darwin", "os_version": "15.5"}


def summary_of(machine: dict[str, Any] | None = None, **sample: Any) -> s.Summary:
    """The figures of a cell whose timed samples have these fields."""
    made = run_of(FakeCell("a", peak_bytes=801, sample=sample), machine=machine or {})
    (cell,) = made.run.cells
    assert cell.summary is not None
    return cell.summary


def test_on_macos_peak_memory_is_the_footprint_and_elsewhere_resident_memory() -> None:
    both: dict[str, Any] = {"peak_rss_bytes": 900, "peak_footprint_bytes": 5000}
    mac, linux = summary_of(MAC, **both), summary_of(**both)
    assert (mac.peak_memory_kind, mac.peak_memory_bytes) == ("footprint", 5000)
    assert (linux.peak_memory_kind, linux.peak_memory_bytes) == ("resident", 900)


def test_a_mac_without_a_footprint_has_no_peak_and_not_another_in_its_place() -> None:
    found = summary_of(MAC, peak_rss_bytes=900)
    assert (found.peak_memory_kind, found.peak_memory_bytes) == ("footprint", None)
    assert found.first_peak_memory_bytes is None


def test_a_column_is_headed_by_what_its_figures_are() -> None:
    assert memory.headed("first call peak MB", {"footprint"}) == "first call footprint MB"
    assert memory.headed("peak MB", {"resident"}) == "peak MB"
    assert memory.headed("load s", {"footprint"}) == "load s"


def test_the_most_that_an_allocator_held_is_of_all_calls() -> None:
    found = summary_of(allocator_bytes={"mlx_peak_bytes": 700, "mlx_cache_bytes": 9000})
    assert (found.allocator_peak_bytes, found.allocator_figure) == (700, "mlx_peak_bytes")
    assert (summary_of().allocator_peak_bytes, summary_of().allocator_figure) == (None, "")


def read(value: float | None, *, quality: str = "", reason: str = "") -> s.ReadingInfo:
    return s.ReadingInfo(value=value, unit="bytes", quality=quality, reason=reason)


@pytest.mark.parametrize(
    ("reading", "allocated", "expected"),
    [
        (read(800), 500, (800, "")),
        (read(900, quality="device total"), 500, (500, "allocator: NAME")),
        (read(None, reason="hidden"), 500, (500, "allocator: NAME")),
        (read(900, quality="device total"), None, (900, "device total")),
        (read(None, reason="hidden"), None, (None, "not measured: hidden")),
        (None, None, (None, "")),
    ],
)
def test_gpu_memory_is_the_drivers_then_the_allocators_then_that_of_all_programs(
    reading: s.ReadingInfo | None, allocated: int | None, expected: tuple[int | None, str]
) -> None:
    name = "torch_cuda_reserved_peak_bytes"
    held = {name: allocated} if allocated is not None else {}
    (cell,) = run_of(FakeCell("a", sample={"allocator_bytes": held}), rounds=1).run.cells
    cell.meters[:] = [
        s.MeterResult(
            round=0,
            attempt=0,
            audio_s=1.0,
            wall_s=1.0,
            readings={"gpu_peak_bytes": reading} if reading else {},
        )
    ]
    size, quality = expected
    found = memory.device_memory(cell)
    assert found == memory.DeviceMemory(size, quality.replace("NAME", name))


def test_what_torch_holds_for_metal_is_no_memory_of_a_gpu_of_its_own() -> None:
    held: dict[str, int] = {"torch_mps_driver_bytes": 500}
    (cell,) = run_of(FakeCell("a", sample={"allocator_bytes": held}), rounds=1).run.cells
    assert memory.device_memory(cell).size_bytes is None
    assert summary_of(allocator_bytes=held).allocator_peak_bytes == 500
