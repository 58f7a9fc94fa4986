"""The one table a run ends with, and the notes under it."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mac_whisper_speedtest.results.schema import CellResult, Run

_MISSING = "–"


def show(run: Run, *, saved_as: str = "", console: Console | None = None) -> None:
    """Print the run to a terminal (or a pipe, then in 140 columns and without colour)."""
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=140)
    console.print(render(run, saved_as=saved_as))


def render(run: Run, *, saved_as: str = "") -> RenderableType:
    """One table per model and clip, best first, then every failure, deviation and remark."""
    parts: list[RenderableType] = []
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for cell in run.cells:
        groups.setdefault((cell.model.name, cell.clip.name), []).append(cell)
    for (model, clip), cells in groups.items():
        parts.append(_table(run, model, clip, sorted(cells, key=_order)))
    notes = list(_notes(run))
    if notes:
        parts.append(Text("\n".join(notes)))
    parts.append(Text(_footer(run, saved_as), style="dim"))
    return Group(*parts)


def _order(cell: CellResult) -> tuple[int, str]:
    rank = cell.summary.rank if cell.summary else None
    return (rank if rank is not None else 10**6, cell.id)


def _table(run: Run, model: str, clip: str, cells: Iterable[CellResult]) -> Table:
    request = run.manifest.request
    info = next(each for each in run.manifest.clips if each.name == clip)
    table = Table(
        title=f"{model} on {clip} ({info.seconds:.1f} s), contract {request.contract['name']}, "
        f"{request.rounds} rounds × {request.runs} samples, {request.threads} threads",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    table.add_column("#", justify="right")
    table.add_column("backend", overflow="fold")
    table.add_column("device")
    table.add_column("precision")
    for heading in (
        "median s",
        "RTFx",
        "spread s",
        "× best",
        "load s",
        "first s",
        "peak MB",
        "WER",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("status")
    for cell in cells:
        table.add_row(*_row(cell))
    return table


def _row(cell: CellResult) -> list[str | Text]:
    summary = cell.summary
    assert summary is not None
    ok = cell.status == "ok"
    flags = [finding.kind for finding in summary.findings]
    status = Text(cell.status, style="green" if ok else "red")
    if flags:
        status.append(f" ({', '.join(flags)})", style="yellow")
    spread = _MISSING
    if summary.min_s is not None and summary.max_s is not None:
        spread = f"{summary.min_s:.3f}–{summary.max_s:.3f}"
    version = f" {cell.backend.version}" if cell.backend.version else ""
    return [
        str(summary.rank) if summary.rank is not None else _MISSING,
        cell.backend.name + version,
        cell.backend.device or _MISSING,
        cell.backend.precision or _MISSING,
        _number(summary.median_s, ".3f"),
        _number(summary.rtfx, ".1f"),
        spread,
        _number(summary.times_best, ".2f"),
        _number(summary.load_s, ".2f"),
        _number(summary.first_s, ".3f"),
        _number(summary.peak_rss_bytes, ".0f", 1e-6),
        _number(summary.wer, ".1%"),
        status,
    ]


def _number(value: float | None, form: str, factor: float = 1.0) -> str:
    return _MISSING if value is None else format(value * factor, form)


def _notes(run: Run) -> Iterable[str]:
    """What a reader must know beside the numbers, a line each; the same line once."""
    seen = set()
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
