"""A run as spans of time: the run, its rounds, each worker's visit to a cell, and its steps.

Pure: from the run and its journal's lines; ``timeline.export`` writes and sends it. It contains no
transcripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.journal import TimedEvent
from mac_whisper_speedtest.results.memory import figure_on
from mac_whisper_speedtest.timeline import spans
from mac_whisper_speedtest.timeline.spans import (
    RUN_TRACK,
    CounterValue,
    Facts,
    Instant,
    Moment,
    Span,
    SpanRecorder,
    clean,
    facts,
)


@dataclass(frozen=True, slots=True)
class Timeline:
    """All spans, instants and counters of a run.

    Attributes:
        run: the run's number.
        run_id: its random id.
        started_at: ISO 8601, UTC.
        tool_version: version of the program that measured.
        tracks: the name of each row.
        spans: a parent before its children.
        instants: in order of time.
        counters: in order of time.
        synthetic: whether times are unknown and were placed by the durations of the steps.
    """

    run: int
    run_id: str
    started_at: str
    tool_version: str
    tracks: tuple[str, ...]
    spans: tuple[Span, ...]
    instants: tuple[Instant, ...]
    counters: tuple[CounterValue, ...]
    synthetic: bool


def timeline_of(run: s.Run, events: Sequence[TimedEvent] | None = None) -> Timeline:
    """The timeline of a run.

    Args:
        run: with summaries; their findings become instants.
        events: the lines of its journal; ``None`` if only the sealed run exists.
    """
    placed = spans.place_events(spans.rebuild_events(run) if events is None else events)
    build = _Builder(run)
    for moment in placed.moments:
        build.take(moment)
    build.add_findings(run)
    manifest, recorder = run.manifest, build.recorder
    return Timeline(
        run=manifest.run,
        run_id=manifest.run_id,
        started_at=manifest.started_at,
        tool_version=clean(manifest.tool.version),
        tracks=tuple(build.tracks),
        spans=tuple(recorder.spans),
        instants=tuple(sorted(recorder.instants, key=lambda each: each.at_s)),
        counters=tuple(sorted(recorder.counters, key=lambda each: each.at_s)),
        synthetic=placed.synthetic,
    )


_WorkerEvent = s.WorkerStarted | s.Loaded | s.Effective | s.Sample | s.Metered | s.WorkerEnded


class _Builder:
    """Turns moments, in order, into spans; keeps the open run, round and visit."""

    def __init__(self, run: s.Run) -> None:
        manifest = run.manifest
        self.recorder = SpanRecorder()
        self.tracks = [f"run {manifest.run}", *(clean(plan.id) for plan in manifest.cells)]
        self._memory = figure_on(manifest.machine.os).field
        self._track_of = {plan.id: track for track, plan in enumerate(manifest.cells, start=1)}
        what = facts(
            run=manifest.run,
            started_at=manifest.started_at,
            contract=str(manifest.request.contract.get("name") or ""),
            rounds=len(manifest.schedule),
        )
        self._run = self.recorder.span(
            self.tracks[0], "run", within=None, between=(0.0, 0.0), facts=what
        )
        self._last_visit: dict[str, int] = {}
        self._round: tuple[int, int] | None = None  # its number, its span
        # (cell, round, attempt), and the index of the span
        self._visit: tuple[tuple[str, int, int | None], int] | None = None
        self._now_s = 0.0  # time of the last moment
        self._drawn_s = 0.0  # end of the open visit's last step
        self._answered_s: float | None = None

    def take(self, moment: Moment) -> None:
        """Add one line of the journal."""
        at_s, event = moment.at_s, moment.event
        match event:
            case s.Resumed():
                self._resumed(event, at_s)
            case s.RoundWatched():
                self._watched(event, at_s)
            case s.RoundSkipped():
                known = facts(round=event.round, status=event.status, message=event.message)
                self._happened(f"skipped: {event.message}", "skipped", at_s, known, event.cell)
            case s.Decided():
                known = facts(after_rounds=event.after, cells=len(event.cells), reason=event.reason)
                self._happened(f"decided: {event.reason}", "decided", at_s, known)
            case s.RunEnded():
                self._close_round()
                if event.state != "complete":
                    words = f"{event.state}: {event.message}" if event.message else event.state
                    self._happened(words, "ended", at_s, facts(state=event.state))
            case _:
                self._worker(event, at_s)
        self.recorder.grow(self._run, at_s)
        self._now_s = at_s

    def add_findings(self, run: s.Run) -> None:
        """Add the findings on each cell, at the end of its last worker."""
        for cell in run.cells:
            parent = self._last_visit.get(cell.id, self._run)
            at_s, track = self.recorder.spans[parent].end_s, self._track_of[cell.id]
            for each in cell.summary.findings if cell.summary else ():
                name, known = f"{each.kind}: {each.message}", facts(message=each.message)
                self.recorder.instant(
                    name, "finding", at_s, within=parent, track=track, facts=known
                )

    def _happened(self, name: str, kind: str, at_s: float, known: Facts, cell: str = "") -> None:
        """Add an instant outside of every visit."""
        track = self._track_of.get(cell, RUN_TRACK)
        self.recorder.instant(name, kind, at_s, within=self._run, track=track, facts=known)

    def _close_round(self) -> None:
        self._round = self._visit = None

    def _worker(self, event: _WorkerEvent, at_s: float) -> None:
        which = (event.cell, event.round, event.attempt)
        if isinstance(event, s.WorkerStarted) or self._visit is None or self._visit[0] != which:
            # If its first line is missing, a visit begins with the step of the first one found.
            self._open_visit(event, max(at_s - spans.duration_s(event), self._now_s))
        assert self._visit is not None
        parent = self._visit[1]
        match event:
            case s.Loaded():
                self._loaded(event, at_s, parent)
            case s.Sample():
                self._sample(event, at_s, parent)
            case s.WorkerEnded():
                self._ended(event, at_s, parent)
            case _:
                pass
        if isinstance(event, s.Effective):
            self._answered_s = at_s  # written when the answer arrived, before the sample
        else:
            self._drawn_s, self._answered_s = at_s, None
        self.recorder.grow(parent, at_s)
        if isinstance(event, s.WorkerEnded):
            self._visit = None

    def _open_visit(self, event: _WorkerEvent, at_s: float) -> None:
        if self._round is None or self._round[0] != event.round:
            self._open_round(event.round, at_s)
        assert self._round is not None
        parent = self.recorder.span(
            f"round {event.round + 1}"
            + (f", attempt {event.attempt + 1}" if event.attempt else ""),
            "visit",
            within=self._round[1],
            between=(at_s, at_s),
            track=self._track_of.get(event.cell, RUN_TRACK),
            facts=facts(cell=event.cell, round=event.round, attempt=event.attempt),
        )
        self._visit = ((event.cell, event.round, event.attempt), parent)
        self._last_visit[event.cell] = parent
        self._drawn_s, self._answered_s = at_s, None

    def _open_round(self, number: int, at_s: float) -> int:
        self._close_round()
        name, known = f"round {number + 1}", facts(round=number)
        span = self.recorder.span(
            name, "round", within=self._run, between=(at_s, at_s), facts=known
        )
        self._round = (number, span)
        return span

    def _step(self, name: str, parent: int, start_s: float, end_s: float, known: Facts) -> int:
        """Add a step of a visit after the steps drawn so far; it never ends before it begins."""
        begun_s = min(max(start_s, self._drawn_s), end_s)
        kind = name.partition(" ")[0]
        return self.recorder.span(name, kind, within=parent, between=(begun_s, end_s), facts=known)

    def _loaded(self, event: s.Loaded, at_s: float, parent: int) -> None:
        loading_s = max(self._drawn_s, at_s - event.load_wall_s)
        if event.rung == s.LOAD_WARM:
            pass  # in the same process
        elif event.spawn_s is None or event.import_s is None:
            known = facts(hello_wall_s=event.hello_wall_s, version=event.version)
            self._step("start", parent, loading_s - event.hello_wall_s, loading_s, known)
        else:
            spawned_s = min(self._drawn_s + event.spawn_s, loading_s)
            known = facts(spawn_s=event.spawn_s)
            self._step("spawn", parent, self._drawn_s, spawned_s, known)
            known = facts(import_s=event.import_s, version=event.version)
            importing_s = max(spawned_s, loading_s - event.import_s)
            self._step("import", parent, importing_s, loading_s, known)
        known = facts(
            load_s=event.load_s,
            load_wall_s=event.load_wall_s,
            device=event.device,
            precision=event.precision,
            rung=event.rung,
            rung_note=event.rung_note,
        )
        name = "load" if event.rung == s.LOAD_FRESH else f"load ({event.rung})"
        self._step(name, parent, loading_s, at_s, known)
        track = self.recorder.spans[parent].track
        peak = getattr(event, self._memory, None)  # of a load, the tool reads no footprint
        self.recorder.counter(self._memory, at_s, peak, track)
        for words in event.warnings:
            self.recorder.instant(f"warning: {words}", "warning", at_s, within=parent)

    def _sample(self, event: s.Sample, at_s: float, parent: int) -> None:
        end_s = at_s if self._answered_s is None else self._answered_s
        known = facts(
            index=event.index,
            utterance=event.utterance,
            seconds=event.seconds,
            wall_s=event.wall_s,
            first_segment_s=event.first_segment_s,
            cpu_s=event.cpu_s,
            tree_cpu_s=event.tree_cpu_s,
            outside_cpu_s=event.outside_cpu_s,
            peak_rss_bytes=event.peak_rss_bytes,
            peak_footprint_bytes=event.peak_footprint_bytes,
            tokens=event.tokens,
            fallbacks=event.fallbacks,
            characters=len(event.text),
            language=event.language,
            disturbed=event.disturbed,
            retaken=event.retaken or None,
            **{f"stage_{clean(name)}_s": took for name, took in event.stages_s.items()},
        )
        name = "warm-up" if event.kind == "warmup" else f"sample {event.index + 1}"
        name += f" ({event.utterance})" if event.utterance else ""
        span = self._step(name, parent, end_s - event.wall_s, end_s, known)
        drawn = self.recorder.spans[span]
        drawn.error = clean(event.failed)
        self.recorder.counter(self._memory, end_s, getattr(event, self._memory), drawn.track)
        if event.disturbed:
            self.recorder.instant(f"disturbed: {event.disturbed}", "disturbed", end_s, within=span)

    def _ended(self, event: s.WorkerEnded, at_s: float, parent: int) -> None:
        visit = self.recorder.spans[parent]
        visit.arguments |= facts(
            status=event.status,
            stage=event.stage,
            error_class=event.error_class,
            message=event.message,
            exit_code=event.exit_code,
            busy_after_s=event.busy_after_s,
        )
        self._step("end", parent, self._drawn_s, at_s, {})
        if event.status != "ok":
            visit.error = clean(
                f"{event.status}: {event.message}" if event.message else event.status
            )
            self.recorder.instant(visit.error, "failed", at_s, within=parent)
        self.recorder.counter(self._memory, at_s, 0.0, visit.track)

    def _watched(self, event: s.RoundWatched, at_s: float) -> None:
        if self._round is None or self._round[0] != event.round:  # nothing ran in it
            self._open_round(event.round, max(at_s - spans.duration_s(event), self._now_s))
        assert self._round is not None
        parent = self._round[1]
        drawn = self.recorder.spans[parent]
        self._conditions(event.before, drawn.start_s)
        self.recorder.counter("canary_s", drawn.start_s, event.canary_before_s)
        cooling_s = max(drawn.end_s, at_s - (event.cooled_s or 0.0))
        if event.canary_after_s is not None:
            between = (max(drawn.end_s, cooling_s - event.canary_after_s), cooling_s)
            known = facts(canary_s=event.canary_after_s)
            self.recorder.span("canary", "canary", within=parent, between=between, facts=known)
            self.recorder.counter("canary_s", cooling_s, event.canary_after_s)
        if event.cooled_s is not None:
            between, known = (cooling_s, at_s), facts(cooled_s=event.cooled_s)
            self.recorder.span("cool down", "cool", within=parent, between=between, facts=known)
        self._conditions(event.after, at_s)
        if event.flagged:
            drawn.arguments |= facts(flagged=event.flagged, replaced_by=event.replaced_by)
            self.recorder.instant(f"disturbed: {event.flagged}", "flagged", at_s, within=parent)
        self.recorder.grow(parent, at_s)
        self._close_round()

    def _conditions(self, found: s.ConditionsInfo, at_s: float) -> None:
        for name, value in found.values.items():
            if not isinstance(value, bool | str):
                self.recorder.counter(name, at_s, value)

    def _resumed(self, event: s.Resumed, at_s: float) -> None:
        self._close_round()
        known = facts(resumed_at=event.at, tool_version=event.tool.version)
        between = (self._now_s, at_s)
        span = self.recorder.span("not running", "pause", within=self._run, between=between)
        self.recorder.instant(f"resumed at {event.at}", "resumed", at_s, within=span, facts=known)
