"""The one table a run ends with, and the notes under it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich import box
from rich.console import Console, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from mac_whisper_speedtest.results.schema import CellResult, Run, Summary

_MISSING = "–"
_ANY_WIDTH = 1000
_FIRST_GROUP = "A"

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
        title = _title(run, model, clip)
        whole = _table(ranked, [*_RANKING, *_DETAILS], title)
        natural = console.measure(whole, options=console.options.update_width(_ANY_WIDTH)).maximum
        if natural <= console.width:
            yield whole
        else:
            # Too narrow a terminal for one table: two below each other, and nothing left out.
            yield _table(ranked, _RANKING, title)
            yield _table(ranked, [*_RANKING[:2], *_DETAILS], "")
    notes = list(_notes(run))
    if notes:
        yield Text("\n".join(notes))
    yield Text(_footer(run, saved_as), style="dim")


def _order(cell: CellResult) -> tuple[bool, str, int, str]:
    """By group, in it by rank; what has neither comes last."""
    group = cell.summary.group if cell.summary else None
    rank = cell.summary.rank if cell.summary else None
    return (group is None, group or "", rank or 0, cell.id)


def _title(run: Run, model: str, clip: str) -> str:
    request = run.manifest.request
    info = next(each for each in run.manifest.clips if each.name == clip)
    return (
        f"{model} on {clip} ({info.seconds:.1f} s), contract {request.contract['name']}, "
        f"{request.rounds} rounds × {request.runs} samples, {request.threads} threads"
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
    """The rank in its group: 1, 2, ... in the first, then B1, B2, ..., C1, ..."""
    group = "" if summary.group in {None, _FIRST_GROUP} else summary.group
    return _MISSING if summary.rank is None else f"{group}{summary.rank}"


def _name(cell: CellResult) -> str:
    return f"{cell.backend.name} {cell.backend.version or ''}".strip()


def _status(cell: CellResult, summary: Summary) -> Text:
    status = Text(cell.status, style="green" if cell.status == "ok" else "red")
    if summary.findings:
        kinds = ", ".join(finding.kind for finding in summary.findings)
        status.append(f" ({kinds})", style="yellow")
    return status


def _contract(cell: CellResult, _summary: Summary) -> Text:
    """Whether it did the work that was asked for, else in which settings it did not."""
    if not cell.contract.effective:
        return Text(_MISSING)
    other = dict.fromkeys(each.setting.replace("_", " ") for each in cell.contract.deviations)
    return Text(", ".join(other), style="yellow") if other else Text("kept")


def _spread(_cell: CellResult, summary: Summary) -> str:
    if summary.min_s is None or summary.max_s is None:
        return _MISSING
    return f"{summary.min_s:.3f}–{summary.max_s:.3f}"


def _figure(name: str, form: str, factor: float = 1.0) -> _Look:
    """A column that shows one number of the summary."""
    return lambda _cell, summary: _number(getattr(summary, name), form, factor)


def _number(value: float | None, form: str, factor: float = 1.0) -> str:
    return _MISSING if value is None else format(value * factor if factor != 1 else value, form)


_RANKING: tuple[_Column, ...] = (
    ("#", "right", _rank),
    ("backend", "left", lambda cell, _: _name(cell)),
    ("device", "left", lambda cell, _: cell.backend.device or _MISSING),
    ("precision", "left", lambda cell, _: cell.backend.precision or _MISSING),
    ("median s", "right", _figure("median_s", ".3f")),
    ("RTFx", "right", _figure("rtfx", ".1f")),
    ("× best", "right", _figure("times_best", ".2f")),
    ("WER", "right", _figure("wer", ".1%")),
    ("status", "left", _status),
)
_DETAILS: tuple[_Column, ...] = (
    ("contract", "left", _contract),
    ("spread s", "right", _spread),
    ("load s", "right", _figure("load_s", ".2f")),
    ("first s", "right", _figure("first_s", ".3f")),
    ("peak MB", "right", _figure("peak_rss_bytes", ".0f", 1e-6)),
)


def _notes(run: Run) -> Iterable[str]:
    """What a reader must know beside the numbers, a line each; the same line once."""
    seen = set()
    grouped = {cell.summary.group for cell in run.cells if cell.summary} - {None}
    if grouped - {_FIRST_GROUP}:
        yield "  Cells between two lines did equal work; across a line there is no ranking."
    for cell in run.cells:
        summary = cell.summary
        lines = (
            [f"{finding.kind}: {finding.message}" for finding in summary.findings]
            if summary
            else []
        )
        for ending in cell.endings:
            if ending.status not in {"ok", "skipped"}:
                stage = f" in {ending.stage}" if ending.stage else ""
                lines.append(f"{ending.status}{stage}: {ending.message}")
            elif ending.error_class in {"Interrupted", "Stopped"}:
                lines.append(f"skipped: {ending.message}")
        if cell.contract.effective and not cell.contract.deviations:
            lines += [f"remark: {remark}" for remark in cell.contract.remarks]
        for line in lines:
            note = f"  {cell.backend.name}: {line}"
            if note not in seen:
                seen.add(note)
                yield note


def _footer(run: Run, saved_as: str) -> str:
    outcome = run.manifest.outcome
    state = "" if outcome is None or outcome.state == "complete" else f"{outcome.state}: "
    detail = f"{outcome.message}. " if state and outcome and outcome.message else ""
    saved = f"run {saved_as}; speedtest show {saved_as}" if saved_as else ""
    return f"{state}{detail}{saved}"
