"""A run as spans of time: the run, its rounds, each worker's visit to a cell, and its steps.

Pure: from the run and its journal's lines. What is written into a file or sent away is made from
this by ``report.trace`` and ``report.otel``. Transcripts are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.journal import TimedEvent
from mac_whisper_speedtest.timeline import spans
from mac_whisper_speedtest.timeline.spans import (
    RUN_TRACK,
    CounterValue,
    Facts,
    Instant,
    Moment,
    Sheet,
    Span,
    clean,
    facts,
)


@dataclass(frozen=True, slots=True)
class Timeline:
    """All of it.

    Attributes:
        run: the run's number.
        run_id: its random id.
        started_at: ISO 8601, UTC.
        tool_version: of the program that measured.
        tracks: the name of each row.
        spans: a parent before its children.
        instants: in order of time.
        counters: in order of time.
        synthetic: whether moments are not known and were placed by the lengths of the steps.
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
        run: with summaries, whose findings become instants.
        events: the lines of its journal; ``None`` where there is none, only the sealed run.
    """
    placed = spans.place(spans.rebuilt(run) if events is None else events)
    build = _Builder(run)
    for moment in placed.moments:
        build.take(moment)
    build.add_findings(run)
    manifest, sheet = run.manifest, build.sheet
    return Timeline(
        run=manifest.run,
        run_id=manifest.run_id,
        started_at=manifest.started_at,
        tool_version=clean(manifest.tool.version),
        tracks=tuple(build.tracks),
        spans=tuple(draft.span() for draft in sheet.drafts),
        instants=tuple(sorted(sheet.instants, key=lambda each: each.at_s)),
        counters=tuple(sorted(sheet.counters, key=lambda each: each.at_s)),
        synthetic=placed.synthetic,
    )


_WorkerEvent = s.WorkerStarted | s.Loaded | s.Effective | s.Sample | s.Metered | s.WorkerEnded


class _Builder:
    """Takes moments in order and keeps the spans that are open: run, round and visit."""

    def __init__(self, run: s.Run) -> None:
        manifest = run.manifest
        self.sheet = Sheet()
        self.tracks = [f"run {manifest.run}", *(clean(plan.id) for plan in manifest.cells)]
        self._track_of = {plan.id: place for place, plan in enumerate(manifest.cells, start=1)}
        what = facts(
            run=manifest.run,
            started_at=manifest.started_at,
            contract=str(manifest.request.contract.get("name") or ""),
            rounds=manifest.request.rounds,
        )
        self._run = self.sheet.span(
            self.tracks[0], "run", within=None, between=(0.0, 0.0), facts=what
        )
        self._last_visit: dict[str, int] = {}
        self._round: tuple[int, int] | None = None  # its number, its span
        self._visit: tuple[tuple[str, int, int | None], int] | None = (
            None  # cell, round, attempt; span
        )
        self._now_s = 0.0  # the moment before
        self._drawn_s = 0.0  # until where the open visit's steps are drawn
        self._answered_s: float | None = None

    def take(self, moment: Moment) -> None:
        """Add what one line of the journal tells of."""
        at_s, event = moment.at_s, moment.event
        match event:
            case s.Resumed():
                self._resumed(event, at_s)
            case s.RoundWatched():
                self._watched(event, at_s)
            case s.RoundSkipped():
                said = facts(round=event.round, status=event.status, message=event.message)
                self._happened(f"skipped: {event.message}", "skipped", at_s, said, event.cell)
            case s.Decided():
                said = facts(after_rounds=event.after, cells=len(event.cells), reason=event.reason)
                self._happened(f"decided: {event.reason}", "decided", at_s, said)
            case s.RunEnded():
                self._close_round()
                if event.state != "complete":
                    words = f"{event.state}: {event.message}" if event.message else event.state
                    self._happened(words, "ended", at_s, facts(state=event.state))
            case _:
                self._worker(event, at_s)
        self.sheet.grow(self._run, at_s)
        self._now_s = at_s

    def add_findings(self, run: s.Run) -> None:
        """What is to be known beside a cell's figures, where its last worker ended."""
        for cell in run.cells:
            place = self._last_visit.get(cell.id, self._run)
            at_s, track = self.sheet.drafts[place].end_s, self._track_of[cell.id]
            for each in cell.summary.findings if cell.summary else ():
                name, said = f"{each.kind}: {each.message}", facts(message=each.message)
                self.sheet.instant(name, "finding", at_s, within=place, track=track, facts=said)

    def _happened(self, name: str, kind: str, at_s: float, said: Facts, cell: str = "") -> None:
        """Something outside of every visit."""
        track = self._track_of.get(cell, RUN_TRACK)
        self.sheet.instant(name, kind, at_s, within=self._run, track=track, facts=said)

    def _close_round(self) -> None:
        self._round = self._visit = None

    def _worker(self, event: _WorkerEvent, at_s: float) -> None:
        which = (event.cell, event.round, event.attempt)
        if isinstance(event, s.WorkerStarted) or self._visit is None or self._visit[0] != which:
            # Without its first line a visit begins with the step that the first one left ends.
            self._open_visit(event, max(at_s - spans.took_s(event), self._now_s))
        assert self._visit is not None
        place = self._visit[1]
        match event:
            case s.Loaded():
                self._loaded(event, at_s, place)
            case s.Sample():
                self._sample(event, at_s, place)
            case s.WorkerEnded():
                self._ended(event, at_s, place)
            case _:
                pass
        if isinstance(event, s.Effective):
            self._answered_s = at_s  # written when the answer was there, and before the sample
        else:
            self._drawn_s, self._answered_s = at_s, None
        self.sheet.grow(place, at_s)
        if isinstance(event, s.WorkerEnded):
            self._visit = None

    def _open_visit(self, event: _WorkerEvent, at_s: float) -> None:
        if self._round is None or self._round[0] != event.round:
            self._open_round(event.round, at_s)
        assert self._round is not None
        place = self.sheet.span(
            f"round {event.round + 1}"
            + (f", attempt {event.attempt + 1}" if event.attempt else ""),
            "visit",
            within=self._round[1],
            between=(at_s, at_s),
            track=self._track_of.get(event.cell, RUN_TRACK),
            facts=facts(cell=event.cell, round=event.round, attempt=event.attempt),
        )
        self._visit = ((event.cell, event.round, event.attempt), place)
        self._last_visit[event.cell] = place
        self._drawn_s, self._answered_s = at_s, None

    def _open_round(self, number: int, at_s: float) -> int:
        self._close_round()
        name, said = f"round {number + 1}", facts(round=number)
        span = self.sheet.span(name, "round", within=self._run, between=(at_s, at_s), facts=said)
        self._round = (number, span)
        return span

    def _step(self, name: str, place: int, start_s: float, end_s: float, said: Facts) -> int:
        """A step of a visit: never before what is drawn already, never ending before it begins."""
        begun_s = min(max(start_s, self._drawn_s), end_s)
        kind = name.partition(" ")[0]
        return self.sheet.span(name, kind, within=place, between=(begun_s, end_s), facts=said)

    def _loaded(self, event: s.Loaded, at_s: float, place: int) -> None:
        loading_s = max(self._drawn_s, at_s - event.load_wall_s)
        if event.rung == s.LOAD_WARM:
            pass  # in the same process
        elif event.spawn_s is None or event.import_s is None:
            said = facts(hello_wall_s=event.hello_wall_s, version=event.version)
            self._step("start", place, loading_s - event.hello_wall_s, loading_s, said)
        else:
            spawned_s = min(self._drawn_s + event.spawn_s, loading_s)
            said = facts(spawn_s=event.spawn_s)
            self._step("spawn", place, self._drawn_s, spawned_s, said)
            said = facts(import_s=event.import_s, version=event.version)
            importing_s = max(spawned_s, loading_s - event.import_s)
            self._step("import", place, importing_s, loading_s, said)
        said = facts(
            load_s=event.load_s,
            load_wall_s=event.load_wall_s,
            device=event.device,
            precision=event.precision,
            rung=event.rung,
            rung_note=event.rung_note,
        )
        name = "load" if event.rung == s.LOAD_FRESH else f"load ({event.rung})"
        self._step(name, place, loading_s, at_s, said)
        track = self.sheet.drafts[place].track
        self.sheet.counter("peak_rss_bytes", at_s, event.peak_rss_bytes, track)
        for words in event.warnings:
            self.sheet.instant(f"warning: {words}", "warning", at_s, within=place)

    def _sample(self, event: s.Sample, at_s: float, place: int) -> None:
        end_s = at_s if self._answered_s is None else self._answered_s
        said = facts(
            index=event.index,
            utterance=event.utterance,
            seconds=event.seconds,
            wall_s=event.wall_s,
            first_segment_s=event.first_segment_s,
            cpu_s=event.cpu_s,
            tree_cpu_s=event.tree_cpu_s,
            outside_cpu_s=event.outside_cpu_s,
            peak_rss_bytes=event.peak_rss_bytes,
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
        span = self._step(name, place, end_s - event.wall_s, end_s, said)
        draft = self.sheet.drafts[span]
        draft.error = event.failed
        self.sheet.counter("peak_rss_bytes", end_s, event.peak_rss_bytes, draft.track)
        if event.disturbed:
            self.sheet.instant(f"disturbed: {event.disturbed}", "disturbed", end_s, within=span)

    def _ended(self, event: s.WorkerEnded, at_s: float, place: int) -> None:
        draft = self.sheet.drafts[place]
        draft.arguments |= facts(
            status=event.status,
            stage=event.stage,
            error_class=event.error_class,
            message=event.message,
            exit_code=event.exit_code,
            busy_after_s=event.busy_after_s,
        )
        self._step("end", place, self._drawn_s, at_s, {})
        if event.status != "ok":
            draft.error = f"{event.status}: {event.message}" if event.message else event.status
            self.sheet.instant(draft.error, "failed", at_s, within=place)
        self.sheet.counter("peak_rss_bytes", at_s, 0.0, draft.track)

    def _watched(self, event: s.RoundWatched, at_s: float) -> None:
        if self._round is None or self._round[0] != event.round:  # nothing ran in it
            self._open_round(event.round, max(at_s - spans.took_s(event), self._now_s))
        assert self._round is not None
        place = self._round[1]
        draft = self.sheet.drafts[place]
        self._conditions(event.before, draft.start_s)
        self.sheet.counter("canary_s", draft.start_s, event.canary_before_s)
        cooling_s = max(draft.end_s, at_s - (event.cooled_s or 0.0))
        if event.canary_after_s is not None:
            between = (max(draft.end_s, cooling_s - event.canary_after_s), cooling_s)
            said = facts(canary_s=event.canary_after_s)
            self.sheet.span("canary", "canary", within=place, between=between, facts=said)
            self.sheet.counter("canary_s", cooling_s, event.canary_after_s)
        if event.cooled_s is not None:
            between, said = (cooling_s, at_s), facts(cooled_s=event.cooled_s)
            self.sheet.span("cool down", "cool", within=place, between=between, facts=said)
        self._conditions(event.after, at_s)
        if event.flagged:
            draft.arguments |= facts(flagged=event.flagged, replaced_by=event.replaced_by)
            self.sheet.instant(f"disturbed: {event.flagged}", "flagged", at_s, within=place)
        self.sheet.grow(place, at_s)
        self._close_round()

    def _conditions(self, found: s.ConditionsInfo, at_s: float) -> None:
        for name, value in found.values.items():
            if not isinstance(value, bool | str):
                self.sheet.counter(name, at_s, value)

    def _resumed(self, event: s.Resumed, at_s: float) -> None:
        self._close_round()
        said = facts(resumed_at=event.at, tool_version=event.tool.version)
        between = (self._now_s, at_s)
        span = self.sheet.span("not running", "pause", within=self._run, between=between)
        self.sheet.instant(f"resumed at {event.at}", "resumed", at_s, within=span, facts=said)
