"""``speedtest models path``: where the weights of one model are, for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest.errors import ExitCode, UsageError, WeightsError, WeightsMissingError

if TYPE_CHECKING:
    from mac_whisper_speedtest.weights.inspect import Copy


class _NotHereError(WeightsMissingError):
    exit_code = ExitCode.WEIGHTS_MISSING


class _DamagedError(WeightsError):
    exit_code = ExitCode.WEIGHTS_CORRUPT


@click.command("path")
@click.argument("name")
@click.option("--form", default="", help="ggml, huggingface, mlx, …  [default: as published]")
@click.option("--precision", default="", help="With --form: float16, q5_1, …  [default: any]")
def command(name: str, form: str, precision: str) -> None:
    """Print the path of the weights of NAME, and nothing else.

    It is the file or folder that a backend would be given: the official weights, with --form the
    copy converted to it, or else the one that libraries of that form keep themselves. Nothing is
    fetched or converted, and files are judged by their size alone (see models verify).

    \b
    whisper-cli --model "$(speedtest models path tiny.en --form ggml)" --file talk.wav

    Exit codes: 0 it is printed; 6 it is not here; 7 it is damaged.
    """
    if precision and not form:
        raise UsageError("--precision is for --form", hint="say which form as well")
    click.echo(_found(name, form, precision).path)


def _found(name: str, form: str, precision: str) -> Copy:
    """The copy that is meant, if it is whole. Raises UsageError, WeightsError."""
    from mac_whisper_speedtest import catalog
    from mac_whisper_speedtest.weights import inventory, needs
    from mac_whisper_speedtest.weights.inspect import State

    model = catalog.model(name).name
    if catalog.is_custom(name) and not form:
        copy = inventory.custom_copy(catalog.parse_custom(name))
        return _whole(copy, f"the files of {model}", f"speedtest models pull {model}")
    check = inventory.for_backend(model, form, precision) if form else inventory.official(model)
    if check.state is State.UNAVAILABLE:
        raise UsageError(f"there are no {form} weights of {model}: {check.reason}")
    what = f"{form} {precision}".strip() or "official"
    # Where nothing can be advised, the table of all places says more.
    hint = needs.advice(check) or f"speedtest check-models -m {model} -v"
    return _whole(check.chosen, f"the {what} weights of {model}", hint)


def _whole(copy: Copy | None, what: str, hint: str) -> Copy:
    """``copy``, if it is whole. Raises WeightsError."""
    from mac_whisper_speedtest.weights.inspect import State

    if copy is None or copy.state is State.ABSENT:
        raise _NotHereError(f"{what} are not on this machine", hint=hint)
    if copy.state is State.COMPLETE:
        return copy
    problems = "; ".join(copy.problems)
    if copy.state is State.CORRUPT:
        raise _DamagedError(f"{what} are damaged in {copy.place.where}: {problems}", hint=hint)
    raise _NotHereError(f"{what} are not whole in {copy.place.where}: {problems}", hint=hint)
