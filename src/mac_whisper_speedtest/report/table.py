"""The one table a run ends with, and the notes under it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich import box
from rich.console import Console, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from mac_whisper_speedtest.report import duration_table, notes
from mac_whisper_speedtest.report.notes import FIRST_GROUP
from mac_whisper_speedtest.report.numbers import MISSING, amount, counted, with_bounds
from mac_whisper_speedtest.results.schema import CellResult, Run, Summary

_ANY_WIDTH = 1000

_Look = Callable[[CellResult, Summary], str | Text]
_Column = tuple[str, JustifyMethod, _Look]


def show(run: Run, *, saved_as: str = "", console: Console | None = None) -> None:
    """Print the run to a terminal (or a pipe, then wide and without colour)."""
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
    yield from duration_table.tables(run)
    found = list(notes.of(run))
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
    measured = amount(rounds, request.runs, whole_set=bool(info.utterances))
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
