"""Findings: what a reader must know about a cell's figures. One pure function per kind.

docs/explanation/method.md, "What the tool notices by itself", has the same rules in words, and what
none of them can notice.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from mac_whisper_speedtest.errors import ErrorClass
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.results import memory as memory_figures
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import counted
from mac_whisper_speedtest.results.memory import MemoryFigure
from mac_whisper_speedtest.results.schema.words import FindingKind
from mac_whisper_speedtest.summary import contract_findings, text_findings
from mac_whisper_speedtest.summary import samples as cell_samples

CLOCK_SLACK_S = 0.05
CLOCK_SLACK_RATIO = 0.05
"""A worker's own time and the supervisor's wall time around the same call differ by the messages
between them: well under 50 ms, 0.2–5 ms observed. More than that and 5 % of the call means that
work was done outside the worker's clock, or that its clock is wrong."""
CLOCK_SHARE = 0.5
"""Share of a cell's calls whose clocks must disagree. With seventeen busy programs on two cores, a
single answer was now and then delayed by more than 50 ms; a backend that leaves work out of its
times does so in every call."""
LOAD_SLACK_S = 0.25
"""The same for loads; larger, because a process may have a single load."""

BUSY_AFTER_S = 0.5
"""A worker that still computes this long after its last answer has not finished the work that was
timed. Idle OpenMP threads spin for only 0.2 s (default of KMP_BLOCKTIME in LLVM's runtime)."""

SLOW_FIRST_RATIO = 2.0
SLOW_FIRST_S = 0.25
"""A first call is slow when it takes twice the usual time and at least 0.25 s more. Cold processor
caches cost a few per cent; compilation costs 3–10 s and late imports 10–20 × the call
(claude-code-tools#131, vllm#30706). A single delay below 0.25 s is not worth reporting."""

LATE_LOAD_SHARE = 0.5
LATE_LOAD_MIN_BYTES = 30_000_000
"""The first call loaded the weights if memory grew by at least half of their size in it, and by
less than that in the load. Where half their size is below 30 MB nothing is reported: numpy (about
20 MB, with the first recording) and buffers could be mistaken for weights."""

DRIFT_RATIO = 0.10
DRIFT_Z = 2.576
"""Drift is a trend of more than 10 % that chance produces in 1 % of runs without a trend: two-sided
normal approximation with continuity correction of Mann–Kendall's S (Mann 1945, Kendall 1975),
summed over processes as in Hirsch, Slack and Smith (1982). Throttling costs a third (mlx-lm#1010).
Fewer samples than 2 × 4, 3 × 4, 4 × 3 or 6 rounds cannot be significant."""

TREND_VALUES = 500
"""A longer series is reduced to the medians of this many parts: pairs grow with the square."""

LEAK_STEPS = 4
LEAK_RATIO = 0.05
LEAK_BYTES = 50_000_000
LEAK_TAPER = 0.75
"""Memory leaks when the peak rises at every call (at least four times in all, twice in a process),
by 5 % or 50 MB in a process, and the last rise is at least three quarters of the first: the rises
of caches and allocators become smaller."""

GROWTH_RATIO = 0.05
GROWTH_BYTES = 20_000_000
"""A smaller difference between the peaks after the first and the last call is ignored."""


THREADS_RATIO = 1.25
THREADS_CORES = 0.5
THREADS_WALL_S = 0.5
"""More cores in use than threads requested: by a quarter plus half a core (the waiting thread,
Python's and a driver's threads use little), over samples that last at least half a second in all,
because processor time is counted in hundredths of a second."""


EFFICIENCY_SHARE = 0.5
EFFICIENCY_S = 0.5
"""Of the processor time of all samples; macOS puts threads of normal priority on the fast cores
while any are free."""


def findings_for_cell(
    run: s.Run, cell: s.CellResult, timed: Sequence[s.SampleResult]
) -> list[s.Finding]:
    """The findings of ``cell``, at most one of each kind.

    Args:
        run: the cell's run; summaries are not used.
        cell: one of its cells.
        timed: the cell's timed samples that count.
    """
    figure = memory_figures.figure_on(run.manifest.machine.os)
    by_kind = (
        (FindingKind.CONTRACT, contract_findings.contract(cell)),
        (
            FindingKind.DEVICE,
            [
                *contract_findings.device(cell),
                *contract_findings.unused_gpu(cell, run.manifest.machine),
                *contract_findings.older_build(cell, run.manifest.machine),
            ],
        ),
        (FindingKind.PRECISION, contract_findings.precision(cell)),
        (FindingKind.TEXT, text_findings.differing(cell)),
        (FindingKind.LOOP, text_findings.loop(cell)),
        (FindingKind.SILENCE, text_findings.silence(cell)),
        (FindingKind.FAILED, text_findings.failures(timed)),
        (FindingKind.CLOCK, clock(cell, timed)),
        (FindingKind.FIRST_CALL, first_call(cell)),
        (FindingKind.THREADS, threads(timed, run.manifest.request.threads)),
        (FindingKind.DRIFT, drift(timed)),
        (FindingKind.MEMORY, [*memory(cell, figure)] or growth(cell, figure)),
        (FindingKind.EXIT, endings(cell)),
        (FindingKind.CRASH, crashes(cell)),
        (FindingKind.RESUMED, resumed(cell)),
        (FindingKind.SAMPLES, samples(run, cell, timed)),
        (FindingKind.UNREACHED, text_findings.unreached(cell, timed)),
        (FindingKind.OUTLIER, text_findings.outlying(run, timed)),
        (FindingKind.DISTURBED, text_findings.disturbed(cell, timed)),
        (FindingKind.MACHINE, text_findings.machine(run, cell)),
        (FindingKind.PLACEMENT, text_findings.placement(run, cell)),
    )
    return [
        s.Finding(kind=kind, message=message)
        for kind, each in by_kind
        if (message := "; ".join(each))
    ]


def clock(cell: s.CellResult, timed: Sequence[s.SampleResult]) -> Iterator[str]:
    """Work outside the worker's own clock."""
    liars = [sample for sample in timed if clocks_disagree(sample.seconds, sample.wall_s)]
    if liars and len(liars) >= CLOCK_SHARE * len(timed):
        worst = max(liars, key=lambda sample: abs(sample.wall_s - sample.seconds))
        yield (
            f"the backend reported {worst.seconds:.3f} s for a call that took {worst.wall_s:.3f} s:"
            " its speed is not reliable"
        )
    loads = [load for load in cell.loads if load.load_wall_s - load.load_s > LOAD_SLACK_S]
    if loads and len(loads) == len(cell.loads):
        yield (
            f"the backend reported {loads[0].load_s:.3f} s for a load that took "
            f"{loads[0].load_wall_s:.3f} s"
        )
    busy = [end.busy_after_s for end in cell.endings if end.busy_after_s is not None]
    long = [each for each in busy if each >= BUSY_AFTER_S]
    if long:
        yield (
            f"still computing {BUSY_AFTER_S:g} s after its last answer in {len(long)} of "
            f"{len(busy)} processes: its times leave out work"
        )


def clocks_disagree(seconds: float, wall_s: float) -> bool:
    """Whether a worker's own time is off from the wall time by more than messages explain."""
    return abs(wall_s - seconds) > max(CLOCK_SLACK_S, CLOCK_SLACK_RATIO * wall_s)


def first_call(cell: s.CellResult) -> Iterator[str]:
    """A first call that did one-time work: compilation, filling caches, loading weights."""
    slow: list[tuple[float, float, tuple[int, int]]] = []
    processes = _processes(cell)
    for key, calls in processes.items():
        firsts = [each.seconds for each in calls if each.kind == "warmup"]
        spoken = calls[0].utterance
        usual = [
            each.seconds
            for each in calls
            if each.kind == "timed" and each.utterance == spoken and not each.failed
        ]
        if not firsts or not usual:
            continue
        median = statistics.median(usual)
        if firsts[0] > max(SLOW_FIRST_RATIO * median, median + SLOW_FIRST_S):
            slow.append((firsts[0], median, key))
    if slow:
        first, median, key = max(slow)
        factor = f"{first / median:.0f} × the usual {median:.3f} s" if median > 0 else "later 0 s"
        yield (
            f"took {first:.2f} s, {factor}, in {len(slow)} of {len(processes)} processes: "
            f"{_late_load(cell, key) or 'compilation, caches or late loading'}; medians exclude it"
        )


def drift(timed: Sequence[s.SampleResult]) -> Iterator[str]:
    """A speed that changes within processes or from round to round."""
    good = [sample for sample in timed if not sample.failed]
    rounds: defaultdict[int, list[float]] = defaultdict(list)
    for sample, relative in zip(good, cell_samples.relative(good), strict=True):
        rounds[sample.round].append(relative)
    inside = trend(list(rounds.values()))
    if inside is not None:
        yield _drifts(inside, "between the first and last sample of a process")
    across = trend([[statistics.median(each) for _, each in sorted(rounds.items())]])
    if across is not None:
        yield _drifts(across, "between the first and last round")


def trend(blocks: Sequence[Sequence[float]]) -> float | None:
    """The change over a block, as a fraction of its median, where there is a trend; else ``None``.

    Args:
        blocks: series in order of time. Only values of the same block are compared; of more than
            ``TREND_VALUES``, medians of consecutive parts.

    Returns:
        Theil and Sen's median slope times the longest block's length. See ``DRIFT_Z``.
    """
    score = 0
    variance = 0.0
    slopes: list[float] = []
    for series in blocks:
        step = math.ceil(len(series) / TREND_VALUES) or 1
        block = [statistics.median(series[at : at + step]) for at in range(0, len(series), step)]
        n = len(block)
        middle = statistics.median(block) if block else 0.0
        if n < 2 or middle <= 0:
            continue
        variance += n * (n - 1) * (2 * n + 5) / 18
        for i in range(n):
            for j in range(i + 1, n):
                score += (block[j] > block[i]) - (block[j] < block[i])
                slopes.append((block[j] - block[i]) / (j - i) / step / middle)
    if not slopes or (abs(score) - 1) / math.sqrt(variance) < DRIFT_Z:
        return None
    change = statistics.median(slopes) * (max(map(len, blocks)) - 1)
    return change if abs(change) > DRIFT_RATIO else None


def threads(timed: Sequence[s.SampleResult], asked: int) -> Iterator[str]:
    """More cores in use than threads requested, or mostly efficiency cores."""
    known = [(each.tree_cpu_s, each.wall_s) for each in timed if each.tree_cpu_s is not None]
    wall_s, cpu_s = sum(wall for _, wall in known), sum(cpu for cpu, _ in known)
    if wall_s >= THREADS_WALL_S and cpu_s / wall_s > THREADS_RATIO * asked + THREADS_CORES:
        yield (
            f"used {cpu_s / wall_s:.1f} cores although --threads is {asked}: its speed is not that "
            f"of {counted(asked, 'thread')}"
        )
    slow_s = sum(each.efficiency_cpu_s or 0.0 for each in timed)
    if slow_s >= EFFICIENCY_S and slow_s > EFFICIENCY_SHARE * cpu_s:
        yield (
            f"spent {slow_s / cpu_s:.0%} of its processor time on efficiency cores: run in the "
            "foreground and close other programs"
        )


def memory(cell: s.CellResult, figure: MemoryFigure) -> Iterator[str]:
    """A peak that rises with every call and does not level off."""
    growths: list[int] = []
    calls = 0
    for process in _processes(cell).values():
        peaks = [peak for each in process if (peak := figure.of(each)) is not None]
        steps = [after - before for before, after in itertools.pairwise(peaks)]
        if len(steps) < 2:
            continue
        growth = peaks[-1] - peaks[0]
        large = growth > LEAK_RATIO * peaks[0] or growth > LEAK_BYTES
        if min(steps) <= 0 or steps[-1] < LEAK_TAPER * steps[0] or not large:
            return
        growths.append(growth)
        calls += len(steps)
    if calls >= LEAK_STEPS:
        each = sum(growths) / calls
        yield (
            f"peak memory grew in each of {calls} calls, by {megabytes(each, 1)} per call: a "
            "memory leak"
        )


def growth(cell: s.CellResult, figure: MemoryFigure) -> Iterator[str]:
    """A peak that is higher after the last call of a process than after its first.

    Only where every call was on the same recording: a longer recording needs more memory.
    """
    found: list[tuple[int, int, int]] = []
    processes = _processes(cell).values()
    for calls in processes:
        peaks = [peak for each in calls if (peak := figure.of(each)) is not None]
        if len(peaks) < 2 or len({each.utterance for each in calls}) > 1:
            continue
        if peaks[-1] - peaks[0] > max(GROWTH_RATIO * peaks[0], GROWTH_BYTES):
            found.append((peaks[-1], peaks[0], len(peaks)))
    if found:
        last, first, calls_made = max(found)
        yield (
            f"peak memory rose from {megabytes(first)} after the first call of a process to "
            f"{megabytes(last)} after {calls_made} calls, in {len(found)} of {len(processes)} "
            "processes: more calls may need more"
        )


def endings(cell: s.CellResult) -> Iterator[str]:
    """What went wrong after a worker's last answer."""
    yield from dict.fromkeys(
        end.message
        for end in cell.endings
        if end.status == "ok" and end.attempt is not None and end.message
    )


def crashes(cell: s.CellResult) -> Iterator[str]:
    """Processes that failed, where other processes measured their rounds."""
    if cell.status != "ok":
        return  # the status shows it
    workers = [end for end in cell.endings if end.attempt is not None and end.status != "skipped"]
    bad = Counter(end.message for end in workers if end.status != "ok")
    if bad:
        causes = "; ".join(f"{text} ({count} ×)" for text, count in bad.items())
        yield (
            f"{bad.total()} of {len(workers)} processes failed and others finished their rounds: "
            f"{causes}"
        )


def resumed(cell: s.CellResult) -> Iterator[str]:
    """Rounds that were interrupted with the whole tool and finished by another process."""
    ended = {end.round for end in cell.endings if end.status == "ok"}
    cut = {end.round for end in cell.endings if end.error_class == ErrorClass.INTERRUPTED} & ended
    if cut:
        rounds = ", ".join(str(number + 1) for number in sorted(cut)[:5])
        yield (
            f"the run was interrupted and resumed in round {rounds}"
            + (f" and {len(cut) - 5} more" if len(cut) > 5 else "")
            + ": such a round has samples from two processes"
        )


def samples(run: s.Run, cell: s.CellResult, timed: Sequence[s.SampleResult]) -> Iterator[str]:
    """Fewer samples than requested."""
    limit_s, asked = run.manifest.request.max_time_s, cell_samples.asked(run, cell)
    if cell.status == "ok" and len(timed) < asked and limit_s is not None:
        yield f"{len(timed)} of {asked} timed samples: the cell's --max-time of {limit_s:g} s ended"


def _processes(cell: s.CellResult) -> dict[tuple[int, int], list[s.SampleResult]]:
    """Every worker's samples, in order, by round and attempt."""
    found: defaultdict[tuple[int, int], list[s.SampleResult]] = defaultdict(list)
    for sample in cell.samples:
        found[sample.round, sample.attempt].append(sample)
    return dict(found)


def _late_load(cell: s.CellResult, process: tuple[int, int]) -> str:
    """The growth of memory that shows that the first call loaded the weights; else empty."""
    weights = cell.model.weights
    load = next((each for each in cell.loads if (each.round, each.attempt) == process), None)
    first = next(each for each in _processes(cell)[process] if each.kind == "warmup")
    if weights is None or load is None or first.peak_rss_bytes is None:
        return ""
    if load.peak_rss_bytes is None or load.peak_rss_before_bytes is None:
        return ""
    in_load = load.peak_rss_bytes - load.peak_rss_before_bytes
    in_call = first.peak_rss_bytes - load.peak_rss_bytes
    enough = LATE_LOAD_SHARE * weights.size_bytes
    if enough < LATE_LOAD_MIN_BYTES or in_load >= enough or in_call < enough:
        return ""
    return (
        f"it loaded the model (memory grew by {megabytes(in_call)} in it and by "
        f"{megabytes(in_load)} in the load; the weights are {megabytes(weights.size_bytes)})"
    )


def _drifts(change: float, where: str) -> str:
    return f"became {abs(change):.0%} {'slower' if change > 0 else 'faster'} {where}"
