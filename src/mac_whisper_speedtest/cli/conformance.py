"""``speedtest conformance``: does a program speak the worker protocol?"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest.cli import completion, options, output
from mac_whisper_speedtest.cli.output import say
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.option import Seconds

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.backend import Backend
    from mac_whisper_speedtest.worker.conformance import ConformanceFinding

_SOME_FAILED = 1


@click.command("conformance", context_settings={"show_default": True})
@click.argument("program", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--backend",
    "-b",
    "name",
    help="Check this backend, or the one a .toml describes.",
    shell_complete=completion.backends,
)
@click.option(
    "--model",
    "-m",
    default="tiny.en",
    help="Model name to send to the worker.",
    shell_complete=completion.models,
)
@click.option(
    "--model-path", type=click.Path(path_type=Path, exists=True), help="Weights for it to load."
)
@click.option("--no-weights", is_flag=True, help="The program needs no weights.")
@click.option("--format", "form", help="Format of the weights.  [default: the backend's, or own]")
@click.option("--language", "-l", default="en", help="Language spoken in the audio.")
@click.option(
    "--audio", type=click.Path(path_type=Path), help="A recording.  [default: a synthetic voice]"
)
@options.declared("threads")
@click.option(
    "--timeout", type=options.Value(Seconds()), default=60.0, help="Time per answer, in seconds."
)
@options.json_flag
@click.pass_context
def command(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    program: tuple[str, ...],
    name: str | None,
    model: str,
    model_path: Path | None,
    no_weights: bool,
    form: str | None,
    language: str,
    audio: Path | None,
    threads: int | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Check that PROGRAM, or a backend, speaks the worker protocol (docs/reference/protocol.md).

    Starts it several times, sends valid and invalid messages, and prints one line per check: pass,
    warn (allowed, but results are worth less), FAIL (with what the protocol asks), or skipped.

    \b
    speedtest conformance --model-path weights.bin -- ./engine --quiet
    speedtest conformance --no-weights -- ./engine
    speedtest conformance -b ./engine.toml --model tiny.en
    speedtest conformance -b faster-whisper --model tiny.en

    \b
    Exit codes: 0 every check passed; 1 some checks failed; 2 the request was wrong.
    """
    from mac_whisper_speedtest.audio.decode import decode
    from mac_whisper_speedtest.backends.adapter import ModelParams
    from mac_whisper_speedtest.machine import describe
    from mac_whisper_speedtest.worker import conformance

    backend = _backend(program, name)
    form = form or backend.weights_format or "own"
    path = "" if no_weights else str((model_path or _weights(backend, model, form)).resolve())
    subject = conformance.ConformanceSubject(
        backend=backend,
        model=ModelParams(name=model, path=path, format=form),
        samples=decode(audio) if audio else conformance.speech_like(2.0),
        language=language,
        takes_weights=not no_weights,
        threads=threads or describe.default_threads(),
        timeout_s=timeout,
        load_s=None if _is_given(ctx, "timeout") else _load_s(backend, model),
    )
    findings = conformance.run(subject, (lambda _finding: None) if as_json else _say)
    if as_json:
        import msgspec

        document = {"program": backend.name, "conforms": _conforms(findings), "checks": findings}
        output.echo_json(msgspec.to_builtins(document))
    else:
        outcomes = [finding.outcome for finding in findings]
        counts = [(outcomes.count(each), each) for each in conformance.CheckStatus]
        say(f"{backend.name}: " + ", ".join(f"{count} {word}" for count, word in counts))
    ctx.exit(0 if _conforms(findings) else _SOME_FAILED)


def _conforms(findings: list[ConformanceFinding]) -> bool:
    from mac_whisper_speedtest.worker.conformance import CheckStatus

    return all(finding.outcome is not CheckStatus.FAILED for finding in findings)


def _backend(program: tuple[str, ...], name: str | None) -> Backend:
    """What to start: a command line, or a backend by name or file."""
    from mac_whisper_speedtest.backends import registry
    from mac_whisper_speedtest.backends.backend import Backend
    from mac_whisper_speedtest.worker import launch

    if bool(program) == bool(name):
        raise UsageError(
            "no program to check: give either -- PROGRAM ... or --backend NAME",
            hint="speedtest conformance --no-weights -- ./engine",
        )
    if program:
        if shutil.which(program[0]) is None:
            raise UsageError(
                f"{program[0]} is not a program that can be started here",
                hint="check the path and its execute permission",
            )
        # Relative paths of the command line are relative to the current folder.
        return Backend(name=Path(program[0]).name, command=program, cwd=str(Path.cwd()))
    assert name is not None
    chosen = registry.select([name], registry.installed())[0]
    if launch.program(chosen) is None:
        raise UsageError(f"{chosen.label}: {launch.not_installed(chosen)}")
    return chosen


def _is_given(ctx: click.Context, option: str) -> bool:
    return ctx.get_parameter_source(option) is not click.core.ParameterSource.DEFAULT


def _load_s(backend: Backend, model: str) -> float | None:
    """Time for a load that may compile with Core ML, as a run gives it; ``None`` for others.

    A shorter deadline could kill a compilation, which may leave Core ML's cache unusable.
    """
    from mac_whisper_speedtest.machine.caches import compile_caches
    from mac_whisper_speedtest.worker import launch
    from mac_whisper_speedtest.worker.compilation import ANNOUNCEMENT, compilation_of

    words = launch.command(backend) or ("",)
    compiles = compilation_of(backend, "auto", compile_caches(Path(words[0]).name))
    if compiles is None:
        return None
    if compiles.first:
        output.notify(ANNOUNCEMENT)
    return compiles.load_limit_s(backend.model_info(model).timeouts.load_s)


def _weights(backend: Backend, model: str, form: str) -> Path:
    """Weights of the backend's own, else converted from the official ones."""
    from mac_whisper_speedtest.weights.locate import locate

    info = replace(backend, weights_format=form).model_info(model)
    if info.path is not None:
        return info.path
    if not backend.weights_format:
        raise UsageError(
            f"no weights for {model} are named",
            hint="name them with --model-path, or add --no-weights if the program takes none",
        )
    return locate(info, notify=output.notify).path


def _say(finding: ConformanceFinding) -> None:
    from mac_whisper_speedtest.worker.conformance import CheckStatus

    say(f"{finding.outcome:8} {finding.check:15} {finding.seen}")
    if finding.outcome in {CheckStatus.FAILED, CheckStatus.DOUBTED}:
        say(f"{'':24} the protocol asks for: {finding.asks}")
    sys.stdout.flush()
