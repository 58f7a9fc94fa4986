"""``speedtest models``: canonical names, and weights from one form to another."""

from __future__ import annotations

from pathlib import Path

import click

from mac_whisper_speedtest.cli import (
    models_list,
    models_path,
    models_prune,
    models_pull,
    models_remove,
    models_verify,
)


@click.group("models")
def command() -> None:
    """List models; fetch, verify, convert and remove their weights."""


for _sibling in (
    models_list,
    models_path,
    models_pull,
    models_verify,
    models_remove,
    models_prune,
):
    command.add_command(_sibling.command)


@command.command("convert")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--to", "form", required=True, help="ggml, huggingface, mlx, mlx-npz or openai.")
@click.option("--from", "source_form", help="The form of SOURCE.  [default: found out]")
@click.option(
    "--precision",
    default="float16",
    show_default=True,
    help="float16 or float32; to ggml also q8_0, q5_1, q5_0, q4_1 or q4_0.",
)
def convert(
    source: Path, destination: Path, form: str, source_form: str | None, precision: str
) -> None:
    """Convert the weights SOURCE into the new folder DESTINATION.

    The result is read back and compared with the source tensor by tensor, bit for bit, before it
    takes its name; provenance.json beside it says where it came from. Quantised weights (q8_0 and
    so on) have other values: every one is compared with what the quantisation allows.

    \b
    speedtest models convert ./my-ct2-model ./my-ggml-model --to ggml
    speedtest models convert ./my-ct2-model ./my-q5 --to ggml --precision q5_1
    """
    from mac_whisper_speedtest import convert as conversion

    record = conversion.convert(
        source, form, destination, precision=precision, source_form=source_form
    )
    proof = (
        f"all {record.values} values are exactly the source's"
        if record.lossless
        else f"{record.changed_values} of {record.values} values were changed to fit {precision}"
    )
    click.echo(f"{destination}: {record.target_form} {record.precision}; {proof}")
