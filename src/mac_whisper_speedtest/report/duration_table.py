"""How time grows with the audio's length: a table for every model measured on several lengths."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from mac_whisper_speedtest.report.numbers import MISSING, with_bounds
from mac_whisper_speedtest.results.schema import CellResult, Run


def tables(run: Run) -> Iterator[Table | Text]:
    """Per model: fixed cost, seconds per audio second, and the time of every length."""
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for cell in run.cells:
        if cell.summary is not None and cell.summary.duration is not None:
            groups.setdefault((cell.model.name, cell.clip.name), []).append(cell)
    for (model, _), cells in groups.items():
        yield _table(model, cells)
        lines = list(_break_even(cells))
        if lines:
            yield Text("\n".join(lines))


def _table(model: str, cells: list[CellResult]) -> Table:
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
