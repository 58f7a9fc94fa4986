"""``speedtest models list``: every model, its official weights, and whether they are here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mac_whisper_speedtest.cli import scrubbed

if TYPE_CHECKING:
    from mac_whisper_speedtest import catalog

_SCHEMA_VERSION = 1


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(as_json: bool) -> None:
    """List every canonical model name and the official weights behind it.

    What is here is judged by names and sizes; nothing is opened or asked for. Repositories that
    were pulled by their commit are listed too.
    """
    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.weights.revisions import customs

    models = [_facts(model) for model in catalog.models().values()]
    custom = [_custom_facts(catalog.Custom(each.repository, each.revision)) for each in customs()]
    if as_json:
        document = {"schema_version": _SCHEMA_VERSION, "models": models, "custom": custom}
        scrubbed.echo_json(document)
        return
    for line in _aligned([_cells(facts) for facts in models]):
        click.echo(line)
    for line in _aligned([[each["name"], *_size_and_state(each)] for each in custom]):
        click.echo(line)


def _facts(model: catalog.Model) -> dict[str, Any]:
    from mac_whisper_speedtest.weights import inventory

    row = inventory.official_row(model.name)
    check = inventory.official(model.name)
    return {
        "name": model.name,
        "family": model.family,
        "languages": "English" if model.english_only else "multilingual",
        "size_class": model.size_class,
        "licence": row.licence or model.licence,
        "form": row.form,
        "precision": row.precision,
        "place": row.place,
        "size_bytes": _size_bytes(row),
        "state": str(check.state),
        "problems": list(check.problems),
    }


def _size_bytes(row: catalog.Publication) -> int | None:
    """Of all files, where anybody knows; else of the weights file; else nothing."""
    from mac_whisper_speedtest.weights import snapshot as wanted

    if row.repository and (snapshot := wanted.known(wanted.of_row(row))) is not None:
        return sum(file.size for file in snapshot.files)
    if row.complete:
        return sum(file.size or 0 for file in row.files)
    return row.main_file.size if row.main_file else None


def _custom_facts(custom: catalog.Custom) -> dict[str, Any]:
    from mac_whisper_speedtest.weights import inventory

    copy = inventory.custom_copy(custom)
    return {
        "name": str(custom),
        "size_bytes": sum(want.size or 0 for want in copy.place.wants),
        "state": str(copy.state),
        "problems": list(copy.problems),
    }


def _cells(facts: dict[str, Any]) -> list[str]:
    about = [facts[key] for key in ("name", "family", "languages", "size_class")]
    return [*about, *_size_and_state(facts), facts["licence"], facts["place"]]


def _size_and_state(facts: dict[str, Any]) -> list[str]:
    from mac_whisper_speedtest.cli.models_table import size

    return [size(facts["size_bytes"]), facts["state"]]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
