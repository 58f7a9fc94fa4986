"""What the command line can do, from Python; docs/python-api.md has examples."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from mac_whisper_speedtest import files as durable
from mac_whisper_speedtest.audio.select import MAX_DOWNLOAD_BYTES, Choice
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract
from mac_whisper_speedtest.compare import compare as between
from mac_whisper_speedtest.compare import sources
from mac_whisper_speedtest.compare.document import CellChange, Compared
from mac_whisper_speedtest.compare.sources import RunSource
from mac_whisper_speedtest.errors import SpeedtestError, UsageError
from mac_whisper_speedtest.export import files, tables
from mac_whisper_speedtest.export.tables import Table
from mac_whisper_speedtest.leaderboard import site
from mac_whisper_speedtest.machine import describe
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.report import comparison_markdown
from mac_whisper_speedtest.results import directory, journal
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.columns import Value
from mac_whisper_speedtest.run import install as installed
from mac_whisper_speedtest.run import plan, prepare, session
from mac_whisper_speedtest.run import resume as resumption
from mac_whisper_speedtest.summary.samples import counted
from mac_whisper_speedtest.timeline import export, timeline
from mac_whisper_speedtest.timeline.timeline import Timeline

__all__ = ["Comparison", "Results", "SpeedtestError", "compare", "load", "run"]

if TYPE_CHECKING:
    import pandas
    import polars


# What is asked for in Python values, and the request that comes of it.


class Options(TypedDict, total=False):
    """The options of ``speedtest run`` beside the model, the backends and the speech.

    Shares are fractions, times are seconds and sizes are bytes. What is left out is as on the
    command line.

    Attributes:
        contract: the name of a contract.
        rounds: fresh processes per cell.
        passes: timed passes per process.
        budget_s: ``--budget``.
        ci_width: ``--ci-width``: how narrow every interval shall become.
        max_rounds: ``--max-rounds``.
        margin: ``--margin``.
        reference_backend: ``--reference``.
        seed: ``--seed``.
        threads: ``--threads``.
        device: ``--device``.
        precision: ``--precision``.
        affinity: numbers of processors.
        nice: ``--nice``.
        cold_load: ``--cold-load``.
        retake: ``--retake/--no-retake``.
        managed: ``--managed``.
        max_time_s: ``--max-time``.
        max_memory_bytes: ``--max-memory``.
        timeout_s: ``--timeout``.
        retries: ``--retries``.
        repair: ``--repair``.
        fail_fast: ``--fail-fast``.
        max_failures: ``--max-failures``.
        strict: ``--strict``.
        tags: ``--tag``.
    """

    contract: str
    rounds: int
    passes: int
    budget_s: float
    ci_width: float
    max_rounds: int
    margin: float
    reference_backend: str
    seed: int
    threads: int
    device: str
    precision: str
    affinity: Sequence[int]
    nice: int
    cold_load: bool
    retake: bool
    managed: bool
    max_time_s: float
    max_memory_bytes: int
    timeout_s: float
    retries: int
    repair: bool
    fail_fast: bool
    max_failures: int
    strict: bool
    tags: Sequence[str]


_RENAMED = {"max_memory_bytes": "max_memory"}
_OWN = {"contract", "managed", "affinity", "tags", "threads"}
"""Options that are not handed to ``plan.Request`` as they are."""

_LEAST = {"rounds": 1, "passes": 1, "max_rounds": 1, "threads": 1, "retries": 0, "max_failures": 0}
_ABOVE_ZERO = ("budget_s", "max_time_s", "timeout_s", "max_memory_bytes", "mic_seconds")
_SHARES = ("margin", "ci_width")


def request_from(models: Any, backends: Any, speech: Choice, options: Options) -> plan.Request:
    """The request, as the command line would build it from the same wishes.

    Args:
        models: one name or several.
        backends: likewise; names or paths of ``.toml`` files.
        speech: what to measure on.
        options: everything else.

    Raises:
        TypeError: an option that does not exist.
        UsageError: a value that no run can be made with.
    """
    unknown = options.keys() - Options.__annotations__.keys()
    if unknown:
        raise TypeError(f"run() has no option {', '.join(sorted(unknown))}")
    check_numbers({**options, "mic_seconds": speech.mic_seconds})
    named = [str(each) for each in _several(backends)]
    managed = options.get("managed", False)
    given: dict[str, Any] = {
        _RENAMED.get(name, name): value for name, value in options.items() if name not in _OWN
    }
    return plan.Request(
        models=tuple(dict.fromkeys(str(each) for each in _several(models))),
        backends=tuple(
            replace(each, managed=each.managed or managed)
            for each in registry.select(named, registry.installed())
        ),
        explicit=bool(named),
        speech=replace(speech, seed=options.get("seed", 0)),
        threads=options.get("threads") or describe.default_threads(),
        affinity=tuple(options.get("affinity", ())) or None,
        contract=_contract(options.get("contract", "greedy")),
        tags=tuple(dict.fromkeys(map(directory.check, _several(options.get("tags", ()))))),
        **given,
    )


def _several(one_or_more: Any) -> list[Any]:
    return [one_or_more] if isinstance(one_or_more, str | os.PathLike) else list(one_or_more)


def _contract(name: str) -> DecodeContract:
    if name not in CONTRACTS:
        known = ", ".join(CONTRACTS)
        raise UsageError(f"there is no contract {name!r}", hint=f"say one of {known}")
    return CONTRACTS[name]


def check_numbers(values: Mapping[str, object]) -> None:
    """Refuse numbers that no run can be made with. Raises UsageError."""

    def number(name: str) -> float | None:
        value = values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"{name} is {value!r}, not a number", hint="see help(st.run)")
        return float(value)

    def wanted(names: Iterable[str], good: Callable[[str, float], bool], words: str) -> None:
        for name in names:
            value = number(name)
            if value is not None and not good(name, value):
                raise UsageError(f"{name} is {value:g}, {words}", hint="see help(st.run)")

    wanted(_LEAST, lambda name, value: value >= _LEAST[name], "which is too few")
    wanted(
        _ABOVE_ZERO,
        lambda _name, value: math.isfinite(value) and value > 0,
        "but must be a number above 0",
    )
    wanted(_SHARES, lambda _name, value: 0 < value < 1, "but must be a fraction, such as 0.02")


# A run for notebooks and scripts: its figures as rows, data frames, files and pages.


StrPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Results:
    """A run, with every figure computed again from its samples.

    Attributes:
        source: the run and where it lies.
    """

    source: RunSource

    @property
    def run(self) -> s.Run:
        """Everything, as docs/results.md describes it."""
        return self.source.run

    @property
    def cells(self) -> list[s.CellResult]:
        """The run's cells; ``summary`` of each has its figures."""
        return self.source.run.cells

    @property
    def number(self) -> int:
        """The run's number on the machine that made it."""
        return self.run.manifest.run

    @property
    def path(self) -> Path | None:
        """The run's directory; ``None`` for a bundle."""
        return self.source.directory.path if self.source.directory is not None else None

    def to_rows(self, table: str = "cells", *, text: bool = False) -> list[dict[str, Value]]:
        """A table as one dictionary per row, with the columns of ``speedtest export``.

        Args:
            table: ``cells``, ``samples`` or ``utterances``.
            text: with ``samples``: the transcripts too.

        Raises:
            UsageError: there is no such table.
        """
        return list(_table(table, text=text).records([self.run]))

    def to_pandas(self, table: str = "cells", *, text: bool = False) -> pandas.DataFrame:
        """The same as a pandas data frame. Raises UsageError, also where there is no pandas."""
        return tables.to_pandas(_table(table, text=text), [self.run])

    def to_polars(self, table: str = "cells", *, text: bool = False) -> polars.DataFrame:
        """The same as a polars data frame. Raises UsageError, also where there is no polars."""
        return tables.to_polars(_table(table, text=text), [self.run])

    def export(self, path: StrPath, table: str = "cells", *, text: bool = False) -> Path:
        """Write a table, or with ``.json`` the whole run, in the format that the ending names.

        Raises:
            UsageError: the ending names no format, or JSON of anything but whole runs.
            StorageError: the file could not be written.
        """
        target = Path(path)
        files.save([self.run], target, files.format_of(target), _table(table, text=text))
        return target

    def report(self, path: StrPath) -> Path:
        """Write the run as one HTML page that needs no network. Raises StorageError."""
        from mac_whisper_speedtest.report.html.report import report

        durable.write_bytes(Path(path), report(self.run, label=self.source.label).encode())
        return Path(path)

    def timeline(self) -> Timeline:
        """The run as spans of time. Raises StorageError where its journal cannot be read."""
        found = self.source.directory
        events = journal.read_timed(found.journal_path) if found is not None else None
        return timeline.timeline_of(self.run, events)

    def trace(self, path: StrPath) -> Path:
        """Write the timeline as Chrome trace JSON, for Perfetto. Raises StorageError."""
        durable.write_bytes(Path(path), export.to_json(self.timeline()))
        return Path(path)

    def __repr__(self) -> str:
        statuses = [cell.status for cell in self.cells]
        return f"<Results of run {self.source.label}: {statuses.count('ok')} of {len(statuses)} ok>"

    def _repr_html_(self) -> str:
        return site.of_run(self.run, self.source.label)


def load(name: StrPath | int = "latest") -> Results:
    """A run: its number, a tag, a run id, ``latest``, or the path of a directory or a bundle.

    Raises:
        UsageError: there is no such run, or the bundle is not to be trusted.
        StorageError: its files are missing or damaged.
    """
    return Results(sources.load(str(name)))


def _table(name: str, *, text: bool) -> Table:
    known = {
        "cells": tables.CELLS,
        "samples": tables.samples(counted, text=text),
        "utterances": tables.UTTERANCES,
    }
    if name not in known:
        raise UsageError(f"there is no table {name!r}", hint=f"say one of {', '.join(known)}")
    return known[name]


class _LineProgress(Observer):
    """Hands what happens in a run to one function that takes a line of text."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def announce(self, text: str) -> None:
        self._tell(text)

    def visit(self, number: int, rounds: int, cell: str) -> None:
        self._tell(f"round {number + 1} of {rounds}: {cell}")

    def event(self, event: s.Event) -> None:
        if isinstance(event, s.WorkerEnded) and event.status != "ok":
            self._tell(f"{event.cell}: {event.status}: {event.message}")


def run(
    models: str | Sequence[str],
    *,
    backends: StrPath | Sequence[StrPath] = (),
    audio: StrPath | None = None,
    clip: str | None = None,
    manifest: StrPath | None = None,
    dataset: str | None = None,
    mic_seconds: float | None = None,
    durations: Sequence[float] = (),
    language: str | None = None,
    download: bool = False,
    allow_http: bool = False,
    max_download_bytes: int = MAX_DOWNLOAD_BYTES,
    keep_recording: bool = False,
    install: bool = False,
    resume: bool | str = False,
    progress: Callable[[str], None] | None = None,
    **options: Unpack[Options],
) -> Results:
    """Measure backends on models and one recording or set, as ``speedtest run`` does.

    Nothing but the built-in clip is downloaded, unless an address as ``audio``, ``download``,
    ``install`` or ``repair`` ask for it.
    Cells that fail are in the results and raise nothing. An interrupt seals what there is; the
    outcome of the run is then ``interrupted``.

    Args:
        models: one name or several.
        backends: names as ``--backend`` takes them, or paths of ``.toml`` files; none is all.
        audio: a file, a folder, or an https address.
        clip: a built-in clip. Without any source it is the short one.
        manifest: a list of recordings.
        dataset: as ``--dataset`` takes it.
        mic_seconds: record for so long from the microphone.
        durations: measure on cuts of these seconds.
        language: spoken in the recordings.
        download: let ``dataset`` download what is not here.
        allow_http: let ``audio`` be an address that begins with http://.
        max_download_bytes: give up on an ``audio`` address that sends more.
        keep_recording: save what the microphone heard with the run.
        install: make the environments of backends that are installed nowhere.
        resume: go on with the newest unfinished run of this request, or with the one named.
        progress: receives a line before each visit and for each failure, never during a sample;
            such as ``print``.
        options: see :class:`~mac_whisper_speedtest.api.Options`.

    Raises:
        UsageError: the request is wrong or cannot be met.
        WeightsError: weights are not what they should be.
        StorageError: results cannot be written.
    """
    observer = Observer() if progress is None else _LineProgress(progress)
    speech = Choice(
        audio=str(audio) if audio is not None else None,
        clip=clip,
        manifest=Path(manifest) if manifest is not None else None,
        dataset=dataset,
        mic_seconds=mic_seconds,
        durations=tuple(durations) or None,
        language=language,
        keep=keep_recording,
        allow_http=allow_http,
        max_download_bytes=max_download_bytes,
    )
    request = request_from(models, backends, speech, options)
    if resume:
        resumption.check(request)
    if install:
        installed.add_missing(request.backends, observer.announce)
    prepared = prepare.prepare(request, announce=observer.announce, allow_download=download)
    going_on = None
    if resume:
        decided = resumption.decide(prepared, resume if isinstance(resume, str) else None)
        for line in decided.words:
            observer.announce(line)
        prepared, going_on = decided.prepared, decided.run
        if going_on is not None and decided.complete:
            return Results(sources.of_directory(going_on))
    found, _ = session.measure(prepared, observer, resume=going_on)
    return Results(sources.of_directory(found))


# Two runs compared, for notebooks and scripts.


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs compared, with the statistics and words of ``speedtest compare``.

    Attributes:
        document: everything, as ``speedtest compare --format json`` writes it.
    """

    document: Compared

    @property
    def cells(self) -> list[CellChange]:
        """What became of each cell."""
        return self.document.cells

    @property
    def regressions(self) -> list[str]:
        """What ``fail_on`` found, in words; empty when nothing got worse."""
        return [f"{each.cell}: {each.message}" for each in self.document.regressions]

    def to_markdown(self) -> str:
        """The comparison for a pull request."""
        return comparison_markdown.render(self.document)

    def __repr__(self) -> str:
        base, new = self.document.base.label, self.document.new.label
        found = ", ".join(
            f"{cell.name} {cell.speed.verdict if cell.speed else cell.state}" for cell in self.cells
        )
        return f"<Comparison of runs {base} and {new}: {found}>"

    def _repr_html_(self) -> str:
        return site.of_comparison(self.document)


def compare(
    base: Results | StrPath | int,
    new: Results | StrPath | int = "latest",
    *,
    margin: float | None = None,
    anyway: bool = False,
    fail_on: str | Sequence[str] = (),
) -> Comparison:
    """Compare two runs cell by cell, as ``speedtest compare`` does.

    Args:
        base: what is compared with: a run, its name, or ``previous-comparable``.
        new: what is judged.
        margin: the relative difference in speed below which nothing counts, such as 0.03.
        anyway: also compare what is not comparable.
        fail_on: ``slower``, ``wrong``, ``memory``, ``energy``: what belongs into ``regressions``.

    Raises:
        UsageError: there is no such run, or the two cannot be compared.
        StorageError: a run cannot be read.
    """
    check_numbers({"margin": margin})
    wanted = between.kinds([fail_on] if isinstance(fail_on, str) else fail_on)
    judged = new.source if isinstance(new, Results) else sources.load(str(new))
    if isinstance(base, Results):
        against = base.source
    elif base == sources.PREVIOUS:
        against = sources.load_previous_comparable(judged.run.manifest)
    else:
        against = sources.load(str(base))
    found = between.compare(against, judged, margin=margin, anyway=anyway)
    return Comparison(between.judged(found, wanted))
