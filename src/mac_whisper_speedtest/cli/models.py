"""``speedtest models``: canonical names, and weights from one form to another."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("models")
def command() -> None:
    """List models, and convert weights from one form to another."""


@command.command("list")
def list_models() -> None:
    """List every canonical model name and the official weights behind it."""
    from mac_whisper_speedtest import catalog

    for model in catalog.models().values():
        languages = "English" if model.english_only else "multilingual"
        click.echo(f"{model.name:16} {model.size_class:7} {languages:13} {model.repository}")


@command.command("convert")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--to", "form", required=True, help="ggml or mlx.")
@click.option("--from", "source_form", help="The form of SOURCE.  [default: found out]")
@click.option("--precision", default="float16", show_default=True, help="float16 or float32.")
def convert(
    source: Path, destination: Path, form: str, source_form: str | None, precision: str
) -> None:
    r"""Convert the weights SOURCE into the new folder DESTINATION.

    The result is read back and compared with the source tensor by tensor, bit for bit, before it
    takes its name; provenance.json beside it says where it came from.

    \b
    speedtest models convert ./my-ct2-model ./my-ggml-model --to ggml
    """
    from mac_whisper_speedtest.models import convert as conversion

    record = conversion.convert(
        source, form, destination, precision=precision, source_form=source_form
    )
    proof = (
        f"all {record.values} values are exactly the source's"
        if record.lossless
        else f"{record.changed_values} of {record.values} values were rounded to {precision}"
    )
    click.echo(f"{destination}: {record.target_form} {record.precision}; {proof}")
