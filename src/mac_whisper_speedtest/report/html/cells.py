"""What a run's cells are called in a page, and the tables they stand in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.report.html.page import Field, Html, join, tag
from mac_whisper_speedtest.report.table import FIRST_GROUP
from mac_whisper_speedtest.results.schema import Bounds, CellResult, ClipInfo, Run, Summary


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a large run goes into a page.

    Attributes:
        sample_rows: rows of the table of samples; beyond, it has a row per cell and round.
        dots: samples that are drawn; beyond, a cell's rounds are drawn as boxes.
        recordings: recordings of a set whose texts are shown.
        units: words (or characters, where those are counted) of one recording that are aligned.
        message: characters of one message or log.
        entries: recordings that are named as left out, and lines of other long lists.
    """

    sample_rows: int = 1500
    dots: int = 4000
    recordings: int = 20
    units: int = 4000
    message: int = 4000
    entries: int = 200

    def halved(self) -> Limits:
        """Half of everything, but something of each."""
        return Limits(
            sample_rows=self.sample_rows // 2,
            dots=self.dots // 2,
            recordings=max(1, self.recordings // 2),
            units=max(50, self.units // 2),
            message=max(100, self.message // 2),
            entries=max(5, self.entries // 2),
        )


@dataclass(frozen=True, slots=True)
class RankedTable:
    """The cells of one model on one piece of speech.

    Attributes:
        name: unique in the page, for ids.
        model: the model's name.
        clip: the speech.
        cells: by group, in it by time; what has no figure comes last.
    """

    name: str
    model: str
    clip: ClipInfo
    cells: Sequence[CellResult]

    @property
    def title(self) -> str:
        """The model and what it was heard on."""
        return f"{self.model} on {self.clip.name}"

    def groups(self) -> list[list[CellResult]]:
        """The cells that did equal work, best group first; what was not ranked stands last."""
        found: dict[str | None, list[CellResult]] = {}
        for cell in self.cells:
            found.setdefault(summary_of(cell).group, []).append(cell)
        return list(found.values())


def ranked(run: Run) -> list[RankedTable]:
    """The tables of a run, in the order of its cells; those without any figure come last."""
    found: dict[tuple[str, str], list[CellResult]] = {}
    for cell in run.cells:
        found.setdefault((cell.model.name, cell.clip.name), []).append(cell)
    ordered = sorted(found.items(), key=lambda item: not any(map(_has_figure, item[1])))
    return [
        RankedTable(f"t{number}", model, cells[0].clip, sorted(cells, key=_order))
        for number, ((model, _), cells) in enumerate(ordered)
    ]


def summary_of(cell: CellResult) -> Summary:
    """A cell's figures. Raises ValueError where nobody has computed them."""
    if cell.summary is None:
        raise ValueError(f"the run was not summarized: {cell.id} has no figures")
    return cell.summary


def name_of(cell: CellResult) -> str:
    """The backend as it was asked for, and the version that was found."""
    asked, found = cell.backend.name, cell.backend.version
    return asked if not found or f"@{found}" in asked else f"{asked} {found}"


def label_of(cell: CellResult, run: Run) -> str:
    """A name that tells the cell from all others of its run."""
    return labels(run)[cell.id]


def labels(run: Run) -> dict[str, str]:
    """Cell id → :func:`label_of`."""
    models = len({cell.model.name for cell in run.cells}) > 1
    clips = len({cell.clip.name for cell in run.cells}) > 1
    found: dict[str, str] = {}
    for cell in run.cells:
        parts = [name_of(cell)]
        parts += [cell.model.name] if models else []
        parts += [f"on {cell.clip.name}"] if clips else []
        found[cell.id] = ", ".join(parts)
    # Of one backend measured against itself, as by `speedtest noise`, only the ids differ.
    counts = Counter(found.values())
    return {
        name: f"{label} ({name})" if counts[label] > 1 else label for name, label in found.items()
    }


def place_of(summary: Summary) -> Field:
    """The places that the intervals leave open: 1, 2–3 for a tie, B1 in the second group."""
    if summary.rank is None:
        return Field("–", "")
    group = "" if summary.group in {None, FIRST_GROUP} else str(summary.group)
    last = summary.rank_last or summary.rank
    shown = f"{group}{summary.rank}" + (f"–{last}" if last != summary.rank else "")
    return Field(shown, f"{summary.group} {summary.rank:03d} {last:03d}")


def measured(value: float | None, bounds: Bounds | None, form: str) -> Field:
    """A figure with its interval under or beside it; sorted by the figure."""
    if value is None:
        return Field("–", "")
    if bounds is None:
        return Field(format(value, form), value)
    interval = f"{bounds.low:{form}}–{bounds.high:{form}}"
    return Field(join([format(value, form), " ", tag("span", interval, class_="range")]), value)


def status_of(cell: CellResult) -> Field:
    """How the cell ended, in a word; never by color alone."""
    summary = summary_of(cell)
    word, class_ = cell.status, "good" if cell.status == "ok" else "bad"
    if summary.fast_but_wrong:
        word, class_ = "fast but wrong", "bad"
    parts: list[str] = [badge(word, class_)]
    if summary.findings:
        kinds = ", ".join(finding.kind for finding in summary.findings)
        parts.append(tag("small", f" {kinds}"))
    return Field(join(parts), word)


def badge(word: str, class_: str) -> Html:
    """A word that stands out."""
    return tag("span", word, class_=f"badge {class_}")


def error_rate(summary: Summary) -> Field:
    """The corpus rate in per cent; where characters were counted it says so."""
    found = summary.accuracy
    if found is None or found.rate is None:
        return Field("–", "")
    mark = "" if found.metric == "wer" else " CER"
    return Field(f"{found.rate:.1%}{mark}", found.rate)


def _has_figure(cell: CellResult) -> bool:
    return summary_of(cell).median_s is not None


def _order(cell: CellResult) -> tuple[bool, str, float, str]:
    summary = summary_of(cell)
    return (summary.group is None, summary.group or "", summary.median_s or 0.0, cell.id)
