"""Equal work: what was asked of every backend, and what each really decoded with."""

from __future__ import annotations

from mac_whisper_speedtest.report.html import cells as named
from mac_whisper_speedtest.report.html import tables
from mac_whisper_speedtest.report.html.cells import Limits
from mac_whisper_speedtest.report.html.markup import Html, clipped, join, tag
from mac_whisper_speedtest.report.html.tables import Column, Field, Row
from mac_whisper_speedtest.report.numbers import MISSING
from mac_whisper_speedtest.results.schema import CellResult, Run

_NAME = "name"


def section(run: Run, limits: Limits) -> Html:
    """A row per cell under the row of what was asked for; and everybody's remarks."""
    asked = run.manifest.request.contract
    settings = [setting for setting in asked if setting != _NAME]
    columns = [
        Column("cell", sortable=False),
        *(Column(each.replace("_", " "), sortable=False) for each in settings),
        Column("read back from the library", sortable=False, long=True),
    ]
    wanted = Row(
        [
            Field(tag("em", f"asked for ({asked.get(_NAME, MISSING)})")),
            *(_word(asked[each], "library's own") for each in settings),
            "",
        ]
    )
    rows = [_row(run, cell, settings) for cell in run.cells if cell.contract.effective]
    silent = [named.label_of(cell, run) for cell in run.cells if not cell.contract.effective]
    return join(
        [
            tag(
                "p",
                "What is marked ≠ is not what was asked for. Cells with different settings did "
                "different work and are not ranked against each other.",
                class_="quiet",
            ),
            tables.table(columns, [[wanted], rows], caption="The decode contract", sortable=False),
            tag("p", f"Nothing was reported by: {', '.join(silent)}.") if silent else "",
            _remarks(run, limits),
        ]
    )


def _row(run: Run, cell: CellResult, settings: list[str]) -> Row:
    other = {each.setting for each in cell.contract.deviations}
    fields: list[str | Field] = []
    for setting in settings:
        value = cell.contract.effective.get(setting)
        word = _word(value)
        promised = cell.contract.declared.get(setting, value)
        if setting in other:
            word = f"≠ {word}"
        if promised != value:
            word = f"{word} (declared: {_word(promised)})"
        fields.append(Field(word, class_="other" if setting in other else ""))
    seen = ", ".join(each.replace("_", " ") for each in cell.contract.observed)
    return Row([named.label_of(cell, run), *fields, seen or MISSING])


def _remarks(run: Run, limits: Limits) -> Html:
    """Differences that no setting expresses."""
    lines = [
        tag("li", tag("strong", named.label_of(cell, run)), f": {clipped(each, limits.message)}")
        for cell in run.cells
        for each in cell.contract.remarks
    ]
    if not lines:
        return Html("")
    return join([tag("h3", "Remarks"), tag("ul", *lines)])


def _word(value: object, nothing: str = MISSING) -> str:
    """A setting for the eye; a ladder of temperatures by its ends."""
    if value is None:
        return nothing
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        ends = [f"{each:g}" for each in value]
        return MISSING if not ends else ends[0] if len(ends) == 1 else f"{ends[0]}…{ends[-1]}"
    return str(value)
