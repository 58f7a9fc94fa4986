"""``speedtest backends contract``: what each backend decodes with under a contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract, deviations
from mac_whisper_speedtest.cli import options, output

if TYPE_CHECKING:
    from rich.table import Table

    from mac_whisper_speedtest.backends.backend import Backend

_ANY_WIDTH = 1000


@click.command("contract", context_settings={"show_default": True})
@click.option("--contract", type=click.Choice(tuple(CONTRACTS)), default="greedy")
@options.json_flag
def command(contract: str, as_json: bool) -> None:
    """Print every backend's expected decode settings, and deviations from the contract.

    A run reports the settings really used, and where they differ from these.
    """
    from mac_whisper_speedtest.backends import registry

    asked = CONTRACTS[contract]
    backends = [each for each in registry.installed().values() if not each.broken]
    if as_json:
        output.echo_json(_document(asked, backends))
        return
    from rich.text import Text

    from mac_whisper_speedtest.report.console import output_console
    from mac_whisper_speedtest.results.cells import setting_text

    console = output_console(pipe=_ANY_WIDTH)
    table = _matrix(asked, backends)
    wide = console.options.update_width(_ANY_WIDTH)
    if console.is_terminal and console.measure(table, options=wide).maximum > console.width:
        for each in backends:
            found = deviations(asked, each.decodes_with(asked))
            words = ", ".join(f"{one.setting} {setting_text(one.effective)}" for one in found)
            console.print(Text.assemble((each.name, "bold"), f": {words or 'as asked'}"))
    else:
        console.print(table)
    for each in backends:
        refused = each.refuses(asked)
        if refused is not None:
            always = f"{refused.setting} is always {refused.effective}"
            console.print(f"{each.name} is not run under {asked.name}: {always}")


def _document(asked: DecodeContract, backends: Sequence[Backend]) -> dict[str, object]:
    rows = {}
    for each in backends:
        refused = each.refuses(asked)
        rows[each.name] = {
            "settings": each.decodes_with(asked),
            "refused": refused.setting if refused else None,
        }
    return {"contract": {"name": asked.name, **asked.settings()}, "backends": rows}


def _matrix(asked: DecodeContract, backends: Sequence[Backend]) -> Table:
    """A row per backend, a column per setting; deviations from the contract are marked."""
    from rich.table import Table
    from rich.text import Text

    from mac_whisper_speedtest.results.cells import setting_text

    table = Table(box=None, pad_edge=False)
    table.add_column("backend")
    for setting in asked.settings():
        table.add_column(setting.replace("_", " "))
    requested = [setting_text(value, "library's own") for value in asked.settings().values()]
    table.add_row(asked.name, *requested, style="bold")
    for each in backends:
        values = each.decodes_with(asked)
        other = {found.setting for found in deviations(asked, values)}
        cells = [
            Text(setting_text(value), style="yellow" if setting in other else "")
            for setting, value in values.items()
        ]
        table.add_row(each.name, *cells)
    return table
