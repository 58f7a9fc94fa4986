"""Memory of a worker's tree: Linux's files, macOS's buffer as constructed, and swap."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes import machines as m
from mac_whisper_speedtest.machine import macos, memory
from mac_whisper_speedtest.machine.macos import Rusage, SwapCounts
from mac_whisper_speedtest.machine.memory import LinuxMemory, MacMemory, Swap, rusage_figures
from mac_whisper_speedtest.machine.probe import Target
from mac_whisper_speedtest.machine.reader import Unknown

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")

STATUS = "Name:\tpython\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n"
CHILD = "Name:\tffmpeg\nVmHWM:\t  512 kB\nVmRSS:\t  256 kB\n"


@pytest.fixture
def waiting() -> Iterator[int]:
    """A process that holds 50 MB and has held 150."""
    code = (
        "import time\nheld = bytearray(50_000_000)\ngone = bytearray(100_000_000)\n"
        "del gone\nprint('on', flush=True)\ntime.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    yield process.pid
    process.kill()
    process.communicate()


@linux_only
def test_the_peak_remembers_what_has_been_freed(waiting: int) -> None:
    probe = LinuxMemory()
    probe.begin(Target(waiting))
    found = probe.end(Target(waiting))
    now, peak = found["rss_bytes"].value, found["peak_rss_bytes"].value
    assert now is not None
    assert peak is not None
    assert 50e6 < now < 120e6
    assert 150e6 < peak < 300e6
    assert found["tree_peak_rss_bytes"].value == peak
    assert found["tree_peak_rss_bytes"].quality == ""


def test_peaks_of_several_processes_are_an_upper_bound() -> None:
    found = memory.status_figures([STATUS, CHILD])
    assert found["rss_bytes"].value == 1280 * 1024
    assert found["peak_rss_bytes"].value == 2048 * 1024
    assert found["tree_peak_rss_bytes"].value == 2560 * 1024
    assert found["tree_peak_rss_bytes"].quality == "upper bound"


def test_a_process_without_memory_figures_is_not_counted_as_zero() -> None:
    found = memory.status_figures(["Name:\tkthread\n"])
    assert found["rss_bytes"].value is None
    assert "VmRSS" in found["rss_bytes"].reason


@linux_only
def test_the_control_groups_peak_counts_only_if_the_span_has_set_it(tmp_path: Path) -> None:
    peak = "/sys/fs/cgroup/box/memory.peak"
    own = {f"/proc/{os.getpid()}/cgroup": "0::/box", f"/proc/{os.getpid()}/status": STATUS}
    root = m.files(tmp_path, {peak: "5000", **own})
    probe = LinuxMemory(m.Recorded({}, platform="linux", root=root))
    target = Target(os.getpid())
    probe.begin(target)
    m.files(tmp_path, {peak: "9000"})
    found = probe.end(target)["cgroup_peak_bytes"]
    assert (found.value, found.quality) == (9000, "whole control group")
    probe.begin(target)
    found = probe.end(target)["cgroup_peak_bytes"]
    assert found.value is None
    assert "from before this span" in found.reason


def test_a_worker_that_is_gone_has_no_memory() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    for probe in (LinuxMemory(), MacMemory()):
        probe.begin(Target(process.pid))
        assert all(each.value is None for each in probe.end(Target(process.pid)).values())


def buffer(version: int, words: dict[int, int], spare: int = 0) -> bytes:
    """What the kernel would write: a UUID, then words, all zero but these."""
    count = {4: 35, 6: 56}[version]
    values = [words.get(index, 0) for index in range(count)]
    return b"\xaa" * 16 + struct.pack(f"={count}Q", *values) + bytes(spare)


def test_version_6_of_macos_accounts_is_read_as_laid_out() -> None:
    words = {0: 50, 1: 9, 6: 60, 7: 70, 10: 3, 11: 4, 28: 280}
    words |= {36: 30, 37: 8, 40: 400, 44: 440, 45: 450}
    assert len(buffer(6, words)) == 464
    found = macos.parse_rusage(buffer(6, words, spare=560), 6)
    assert found == Rusage(60, 70, 280, 7, 21, neural=440, neural_peak=450, energy_nj=400)


def test_version_4_knows_nothing_of_the_neural_engine() -> None:
    words = {0: 50, 6: 60, 7: 70, 10: 3, 28: 280}
    assert len(buffer(4, words)) == 296
    found = macos.parse_rusage(buffer(4, words, spare=500), 4)
    assert found == Rusage(60, 70, 280, 3)


def test_figures_beyond_32_bits_are_whole() -> None:
    assert macos.parse_rusage(buffer(6, {28: 5 << 40}), 6).footprint_peak == 5 << 40


@pytest.mark.parametrize(("data", "version"), [(bytes(463), 6), (bytes(464), 5), (b"", 4)])
def test_a_buffer_that_cannot_be_right_is_refused(data: bytes, version: int) -> None:
    with pytest.raises(ValueError, match="rusage_info"):
        macos.parse_rusage(data, version)


@pytest.mark.skipif(sys.platform == "darwin", reason="there it works")
def test_where_there_is_no_macos_its_accounts_are_not_known() -> None:
    found = MacMemory().end(Target(os.getpid()))
    assert all(each.value is None and each.reason for each in found.values())


def test_a_mac_worker_is_given_all_its_processes_together() -> None:
    one = Rusage(1, 10, 100, neural=5, neural_peak=50, energy_nj=0)
    found = rusage_figures([one, one])
    assert found["footprint_bytes"].value == 20
    assert found["peak_footprint_bytes"].value == 200
    assert found["peak_footprint_bytes"].quality == "upper bound"
    assert found["peak_neural_footprint_bytes"].value == 100


def test_before_macos_13_neural_memory_is_a_reason_not_zero() -> None:
    found = rusage_figures([Rusage(1, 10, 100)])
    assert found["peak_footprint_bytes"].value == 100
    assert found["neural_footprint_bytes"].value is None
    assert "macOS" in found["neural_footprint_bytes"].reason


def test_the_mac_probe_asks_about_the_worker_itself() -> None:
    asked = []

    def look(pid: int) -> Rusage:
        asked.append(pid)
        return Rusage(1, 2, 3)

    found = MacMemory(look).end(Target(os.getpid()))
    assert asked[0] == os.getpid()
    assert found["footprint_bytes"].value == 2 * len(asked)


def meminfo(used_kb: int) -> str:
    return f"SwapTotal: 10000 kB\nSwapFree: {10000 - used_kb} kB\n"


def test_swap_that_grows_in_a_span_is_seen(tmp_path: Path) -> None:
    before = {"/proc/meminfo": meminfo(100), "/proc/vmstat": "pswpin 10\npswpout 20\n"}
    after = {"/proc/meminfo": meminfo(300), "/proc/vmstat": "pswpin 11\npswpout 70\n"}
    probe = Swap(m.Recorded({}, platform="linux", root=m.files(tmp_path, before)))
    probe.begin(Target(None))
    m.files(tmp_path, after)
    found = probe.end(Target(None))
    assert found["swap_used_bytes"].value == 300 * 1024
    assert found["swap_grew_bytes"].value == 200 * 1024
    assert found["swapped_bytes"].value == 51 * os.sysconf("SC_PAGE_SIZE")


def test_swap_of_macos_is_what_is_in_use_and_what_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = [SwapCounts(100, 20), SwapCounts(150, 90)]
    monkeypatch.setattr(macos, "swap_counts", lambda: moved.pop(0))
    text = "total = 2048.00M  used = 1.50M  free = 2046.50M  (encrypted)"
    probe = Swap(m.Recorded({f"{m.SYSCTL} -n vm.swapusage": text}, platform="darwin"))
    probe.begin(Target(None))
    found = probe.end(Target(None))
    assert found["swap_used_bytes"].value == 1.5 * 1024**2
    assert found["swap_grew_bytes"].value == 0
    assert found["swapped_bytes"].value == 120


def test_swap_that_cannot_be_read_is_a_reason() -> None:
    probe = Swap(m.Recorded({}, platform="linux"))
    probe.begin(Target(None))
    assert all(each.value is None and each.reason for each in probe.end(Target(None)).values())
    assert isinstance(memory.linux_swap_counts("pswpin 3", 4096), Unknown)


def vm_statistics(**counts: int) -> bytes:
    """``vm_statistics64`` of <mach/vm_statistics.h>, all zero but these."""
    small, large = "I", "Q"
    fields = {
        **dict.fromkeys(("free", "active", "inactive", "wire"), small),
        **dict.fromkeys(("zero_fill", "reactivations", "pageins", "pageouts", "faults"), large),
        **dict.fromkeys(("cow_faults", "lookups", "hits", "purges"), large),
        **dict.fromkeys(("purgeable", "speculative"), small),
        **dict.fromkeys(("decompressions", "compressions", "swapins", "swapouts"), large),
        **dict.fromkeys(("compressor_page", "throttled", "external", "internal"), small),
        "total_uncompressed_pages_in_compressor": large,
    }
    packed = struct.pack("=" + "".join(fields.values()), *(counts.get(name, 0) for name in fields))
    assert len(packed) == 152  # HOST_VM_INFO64_COUNT is 38 integers
    return packed


def test_only_what_goes_to_swap_is_counted_on_macos_and_no_page_of_a_file() -> None:
    buffer = vm_statistics(pageins=1, pageouts=2, swapins=3, swapouts=4, compressor_page=5)
    assert macos.parse_vm_statistics(buffer, 16384) == SwapCounts(3 * 16384, 4 * 16384)


def test_memory_was_short_where_a_sample_had_more_than_housekeeping_swapped_out() -> None:
    before = SwapCounts(0, 5_000_000)
    assert memory.shortage(before, SwapCounts(10**9, 5_000_000 + (1 << 20))) == ""
    words = memory.shortage(before, SwapCounts(0, 39_000_000))
    assert words == "memory was short: 34 MB were swapped out"
    assert memory.shortage(before, Unknown("refused")) == ""


def test_levels_of_memory_pressure_have_names_and_shares() -> None:
    assert memory.macos_pressure("2\n") == "warning"
    assert isinstance(memory.macos_pressure("3"), Unknown)
    text = "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=1.00"
    assert memory.linux_pressure(text) == 0.125
    assert isinstance(memory.linux_pressure("nothing"), Unknown)
