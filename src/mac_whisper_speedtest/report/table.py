"""The one table a run ends with, and the notes under it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from rich import box
from rich.console import Console, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from mac_whisper_speedtest.results.schema import Bounds, CellResult, ClipInfo, Run, Summary
from mac_whisper_speedtest.stats import ranking

# What a reader must know beside the numbers, a line each.


FIRST_GROUP = "A"
_NAMED = 5  # entries of a set that were left out


def notes_for(run: Run) -> Iterator[str]:
    """Every failure, deviation and remark; the same line once."""
    seen = set()
    for line in _all(run):
        if line not in seen:
            seen.add(line)
            yield f"  {line}"


def _all(run: Run) -> Iterator[str]:
    grouped = {cell.summary.group for cell in run.cells if cell.summary} - {None}
    if grouped - {FIRST_GROUP}:
        yield "Cells between two lines did equal work; across a line there is no ranking."
    yield from _ranking(run)
    if run.decisions:
        yield f"The run ended because {run.decisions[-1].reason}."
    for clip in run.manifest.clips:
        yield from _left_out(clip)
    for cell in run.cells:
        for line in _of_cell(cell):
            yield f"{cell.backend.name}: {line}"


def _ranking(run: Run) -> Iterator[str]:
    """What the ranking rests on, where there is more than one to rank."""
    ranked = [cell.summary for cell in run.cells if cell.summary and cell.summary.rank is not None]
    if len(ranked) < 2:
        return
    noise, margin = run.manifest.noise, run.manifest.request.margin
    least = f"{ranking.MARGIN * 100:g} %"
    if margin is not None:
        yield f"Differences below {margin:.1%} are not ranked (--margin)."
    elif noise is None:
        yield (
            f"Differences below {least} are not ranked. What this machine's noise hides is not "
            "known: speedtest noise"
        )
    elif noise.floor > ranking.MARGIN:
        yield (
            f"Differences below {noise.floor:.1%} are not ranked: identical cells differ by as "
            f"much on this machine ({noise.backend} against itself, {noise.rounds} rounds)."
        )
    else:
        yield f"Differences below {least} are not ranked; the noise floor is {noise.floor:.1%}."
    tied = [each for each in ranked if each.rank_last != each.rank]
    without = [each for each in ranked if each.rtfx_bounds is None]
    if tied:
        yield "Places such as 1–3 are ties: the rounds do not tell these cells apart."
    if without:
        yield "An interval of a cell takes 6 rounds, and of a comparison 3; see --rounds."


def _left_out(clip: ClipInfo) -> Iterator[str]:
    for what, entries in (("not measured", clip.left_out), ("not scored", clip.unscored)):
        for each in entries[:_NAMED]:
            yield f"{clip.name}: {what}: {each.name}: {each.reason}"
        if len(entries) > _NAMED:
            yield f"{clip.name}: {what}: {len(entries) - _NAMED} more; see the results"


def _of_cell(cell: CellResult) -> Iterator[str]:
    summary = cell.summary
    if summary is not None:
        if summary.fast_but_wrong and summary.accuracy is not None:
            yield from _wrong(cell)
        for finding in summary.findings:
            yield f"{finding.kind}: {finding.message}"
    for ending in cell.endings:
        if ending.status not in {"ok", "skipped"}:
            stage = f" in {ending.stage}" if ending.stage else ""
            yield f"{ending.status}{stage}: {ending.message}"
        elif ending.error_class in {"Interrupted", "Stopped"}:
            yield f"skipped: {ending.message}"
    if cell.contract.effective and not cell.contract.deviations:
        for remark in cell.contract.remarks:
            yield f"remark: {remark}"


def _wrong(cell: CellResult) -> Iterator[str]:
    """Why a cell is in the class of those whose speed does not count."""
    assert cell.summary is not None
    found = cell.summary.accuracy
    assert found is not None
    if found.delta is None or found.delta_low is None or found.delta_high is None:
        return
    against = (found.against or "").partition("/")[0]
    yield (
        f"fast but wrong: {found.metric.upper()} is {found.delta * 100:.1f} points "
        f"({found.delta_low * 100:.1f} to {found.delta_high * 100:.1f}) above that of {against}; "
        f"{found.how}. See: speedtest diff RUN {against} {cell.backend.name}"
    )


# How a number is shown.


MISSING = "–"
"""Where there is nothing to show."""


def counted(number: int, one: str, several: str = "") -> str:
    """``1 round``, ``2 rounds``; ``several`` where it takes more than an s."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def amount(rounds: int, runs: int, *, whole_set: bool) -> str:
    """How much was measured of each cell: ``6 rounds × 2 samples``."""
    each = ("pass", "passes") if whole_set else ("sample", "samples")
    return f"{counted(rounds, 'round')} × {counted(runs, *each)}"


def with_bounds(value: float | None, bounds: Bounds | None, form: str) -> str:
    """A number and its interval, in brackets; without them where the rounds give none."""
    if value is None:
        return MISSING
    if bounds is None:
        return format(value, form)
    return f"{value:{form}} ({bounds.low:{form}}–{bounds.high:{form}})"


# How time grows with the audio's length: a table for every model measured on several lengths.


def tables(run: Run) -> Iterator[Table | Text]:
    """Per model: fixed cost, seconds per audio second, and the time of every length."""
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for cell in run.cells:
        if cell.summary is not None and cell.summary.duration is not None:
            groups.setdefault((cell.model.name, cell.clip.name), []).append(cell)
    for (model, _), cells in groups.items():
        yield _duration_table(model, cells)
        lines = list(_break_even(cells))
        if lines:
            yield Text("\n".join(lines))


def _duration_table(model: str, cells: list[CellResult]) -> Table:
    lengths = [each.name for each in cells[0].clip.utterances]
    table = Table(
        title=f"{model}: seconds by length of the audio",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    table.add_column("backend")
    for heading in ("fixed s", "s per audio s", "grows by", "30 s window s", *lengths):
        table.add_column(heading, justify="right", no_wrap=True)
    for cell in cells:
        assert cell.summary is not None
        fit = cell.summary.duration
        assert fit is not None
        table.add_row(
            cell.backend.name,
            with_bounds(fit.fixed_s, fit.fixed, ".2f"),
            with_bounds(fit.per_audio_s, fit.per_audio, ".4f"),
            fit.shape or MISSING,
            MISSING if fit.window_s is None else f"{fit.window_s:.3f}",
            *(
                f"{fit.seconds_by_duration[each]:.2f}"
                if each in fit.seconds_by_duration
                else MISSING
                for each in lengths
            ),
        )
    return table


def _break_even(cells: list[CellResult]) -> Iterator[str]:
    """Each pair once: who wins for short audio, who for long, and where they meet."""
    names = {cell.id: cell.backend.name for cell in cells}
    for cell in cells:
        fit = cell.summary.duration if cell.summary else None
        for other, meet in fit.break_even_s.items() if fit else ():
            if meet.wins_below:
                high = "no end" if meet.high is None else f"{meet.high:.0f} s"
                yield (
                    f"  {names[cell.id]} is quicker below {meet.seconds:.0f} s of audio "
                    f"({meet.low:.0f} s to {high}), {names[other]} above."
                )


_ANY_WIDTH = 1000

_Look = Callable[[CellResult, Summary], str | Text]
_Column = tuple[str, JustifyMethod, _Look]


def show_run(run: Run, *, saved_as: str = "", console: Console | None = None) -> None:
    """Print the run to a terminal (or a pipe, then wide and without color)."""
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=200)
    for part in _parts(run, saved_as, console):
        console.print(part)


def _parts(run: Run, saved_as: str, console: Console) -> Iterable[RenderableType]:
    """Per model and clip a table, best first; then every failure, deviation and remark."""
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for cell in run.cells:
        groups.setdefault((cell.model.name, cell.clip.name), []).append(cell)
    named = run.manifest.request.backends_named
    drawn = {
        key: cells
        for key, cells in groups.items()
        if named or any(cell.status != "unavailable" for cell in cells)
    }
    # A network that nobody asked for and nothing here can run needs no table; the notes name it.
    for (model, clip), cells in (drawn or groups).items():
        ranked = sorted(cells, key=_order)
        heading = _title(run, model, clip)
        for columns in _packed(ranked, console):
            yield _table(ranked, columns, heading)
            heading = ""
    yield from tables(run)
    found = list(notes_for(run))
    if found:
        yield Text("\n".join(found))
    yield Text(_footer(run, saved_as), style="dim")


def _packed(cells: Sequence[CellResult], console: Console) -> list[list[_Column]]:
    """All columns, in as many tables below each other as the console's width takes.

    Every table begins with the rank and the name, and none leaves anything out.
    """
    packed: list[list[_Column]] = []
    for column in (*_RANKING, *_DETAILS, *_known(cells)):
        if not packed:
            packed.append([])
        wider = _table(cells, [*packed[-1], column], "")
        natural = console.measure(wider, options=console.options.update_width(_ANY_WIDTH)).maximum
        if natural > console.width and len(packed[-1]) > len(_NAMING):
            packed.append([*_NAMING])
        packed[-1].append(column)
    return packed


def _order(cell: CellResult) -> tuple[bool, str, float, str]:
    """By group, in it by time; what has neither comes last."""
    group = cell.summary.group if cell.summary else None
    median_s = cell.summary.median_s if cell.summary else None
    return (group is None, group or "", median_s or 0.0, cell.id)


def _title(run: Run, model: str, clip: str) -> str:
    request = run.manifest.request
    info = next(each for each in run.manifest.clips if each.name == clip)
    audio = f"{info.seconds:.1f} s"
    if info.utterances:
        what = "lengths" if info.kind == "durations" else "utterances"
        audio = f"{len(info.utterances)} {what}, {audio}"
    rounds = run.decisions[-1].after if run.decisions else request.rounds
    measured = amount(rounds, request.passes, whole_set=bool(info.utterances))
    return (
        f"{model} on {clip} ({audio}), contract {request.contract['name']}, "
        f"{measured}, {counted(request.threads, 'thread')}"
    )


def _table(cells: Sequence[CellResult], columns: Sequence[_Column], title: str) -> Table:
    table = Table(
        title=title or None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    for heading, justify, _ in columns:
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=justify == "right")
    previous: str | None = None
    for cell in cells:
        assert cell.summary is not None
        if previous not in {None, cell.summary.group}:
            table.add_section()  # beyond this line other work was done
        previous = cell.summary.group
        table.add_row(*(look(cell, cell.summary) for _, _, look in columns))
    return table


def _rank(_cell: CellResult, summary: Summary) -> str:
    """The places in its group that are open to it: 1, 2–3, ...; then B1, B2, ..., C1, ..."""
    if summary.rank is None:
        return MISSING
    group = "" if summary.group in {None, FIRST_GROUP} else summary.group
    last = summary.rank_last or summary.rank
    return f"{group}{summary.rank}" + (f"–{last}" if last != summary.rank else "")


def _name(cell: CellResult) -> str:
    return f"{cell.backend.name} {cell.backend.version or ''}".strip()


def _status(cell: CellResult, summary: Summary) -> Text:
    status = Text(cell.status, style="green" if cell.status == "ok" else "red")
    if summary.fast_but_wrong:
        status = Text("wrong", style="red")
    if summary.findings:
        kinds = ", ".join(finding.kind for finding in summary.findings)
        status.append(f" ({kinds})", style="yellow")
    return status


def _contract(cell: CellResult, _summary: Summary) -> Text:
    """Whether it did the work that was asked for, else in which settings it did not."""
    if not cell.contract.effective:
        return Text(MISSING)
    other = dict.fromkeys(each.setting.replace("_", " ") for each in cell.contract.deviations)
    return Text(", ".join(other), style="yellow") if other else Text("kept")


def _spread(_cell: CellResult, summary: Summary) -> str:
    if summary.min_s is None or summary.max_s is None:
        return MISSING
    return f"{summary.min_s:.3f}–{summary.max_s:.3f}"


def _error_rate(_cell: CellResult, summary: Summary) -> str:
    """The corpus rate; a CER is said to be one."""
    if summary.accuracy is None or summary.accuracy.rate is None:
        return MISSING
    mark = "" if summary.accuracy.metric == "wer" else " CER"
    return f"{summary.accuracy.rate:.1%}{mark}"


def _figure(name: str, form: str, factor: float = 1.0) -> _Look:
    """A column that shows one number of the summary."""
    return lambda _cell, summary: _number(getattr(summary, name), form, factor)


def _number(value: float | None, form: str, factor: float = 1.0) -> str:
    return MISSING if value is None else format(value * factor if factor != 1 else value, form)


_NAMING: tuple[_Column, ...] = (
    ("#", "right", _rank),
    ("backend", "left", lambda cell, _: _name(cell)),
)
_RANKING: tuple[_Column, ...] = (
    *_NAMING,
    ("device", "left", lambda cell, _: cell.backend.device or MISSING),
    ("precision", "left", lambda cell, _: cell.backend.precision or MISSING),
    ("median s", "right", _figure("median_s", ".3f")),
    ("RTFx", "right", lambda _, it: with_bounds(it.rtfx, it.rtfx_bounds, ".2f")),
    (
        "× best",
        "right",
        lambda _, it: with_bounds(it.times_best, it.times_best_bounds, ".2f"),
    ),
    ("WER", "right", _error_rate),
    ("status", "left", _status),
)
_DETAILS: tuple[_Column, ...] = (
    ("contract", "left", _contract),
    ("spread s", "right", _spread),
    ("load s", "right", _figure("load_s", ".2f")),
    ("first s", "right", _figure("first_s", ".3f")),
    ("peak MB", "right", _figure("peak_rss_bytes", ".0f", 1e-6)),
)


_WHERE_KNOWN: tuple[tuple[str, _Column], ...] = (
    ("first_segment_s", ("first segment s", "right", _figure("first_segment_s", ".3f"))),
    ("load_cold_s", ("cold load s", "right", _figure("load_cold_s", ".2f"))),
    ("load_warm_s", ("warm load s", "right", _figure("load_warm_s", ".2f"))),
    ("cores_used", ("cores", "right", _figure("cores_used", ".1f"))),
    ("device_memory_bytes", ("device MB", "right", _figure("device_memory_bytes", ".0f", 1e-6))),
    ("joules_per_audio_hour", ("J/h audio", "right", _figure("joules_per_audio_hour", ".0f"))),
)


def _known(cells: Sequence[CellResult]) -> list[_Column]:
    """Columns of what not every machine and backend tells: where any cell has a value."""
    return [
        column
        for name, column in _WHERE_KNOWN
        if any(getattr(cell.summary, name) is not None for cell in cells)
    ]


def _footer(run: Run, saved_as: str) -> str:
    outcome = run.manifest.outcome
    state = "" if outcome is None or outcome.state == "complete" else f"{outcome.state}: "
    detail = f"{outcome.message}. " if state and outcome and outcome.message else ""
    saved = f"run {saved_as}; speedtest show {saved_as}" if saved_as else ""
    return f"{state}{detail}{saved}"
