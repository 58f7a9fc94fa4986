"""``speedtest run``: parse, measure, print."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest.backends.contract import CONTRACTS
from mac_whisper_speedtest.errors import ExitCode

if TYPE_CHECKING:
    from mac_whisper_speedtest.results.schema import Run


_UNFINISHED = ""
"""``--resume`` without a run: the newest that is unfinished."""


@click.command("run", context_settings={"show_default": True})
@click.option(
    "--model",
    "-m",
    "models",
    multiple=True,
    required=True,
    help="Model name, such as tiny.en, or org/name@REVISION of a repository that was pulled.",
)
@click.option(
    "--backend",
    "-b",
    "backends",
    multiple=True,
    help="NAME[@VERSION][:PRECISION], or a .toml file that describes a program. Default: all.",
)
@click.option("--audio", help="Your own recording: a file, a folder of files, or an https address.")
@click.option("--clip", help="A built-in clip: short (the default), cities or long.")
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    help="A list of recordings with their texts: NeMo's JSON lines, or CSV.",
)
@click.option("--dataset", help="librispeech:SPLIT[:n=N] or hf:ORG/NAME@REVISION[:SPLIT][:n=N].")
@click.option("--download", is_flag=True, help="Let --dataset download what is not here.")
@click.option("--mic", is_flag=True, help="Record from the microphone until Enter is pressed.")
@click.option("--mic-seconds", type=float, help="Record for so long instead.")
@click.option("--keep-recording", is_flag=True, help="Save what --mic records with the run.")
@click.option("--max-download", default="2GB", help="Give up on an address that sends more.")
@click.option("--allow-http", is_flag=True, help="Let --audio fetch from an http address.")
@click.option("--durations", help="Measure on cuts of these seconds, such as 2,5,10,30,31,60.")
@click.option("--language", "-l", help="Language spoken in the recordings, such as en.")
@click.option(
    "--contract",
    type=click.Choice(tuple(CONTRACTS)),
    default="greedy",
    help="What every backend is asked to do; see: speedtest backends contract.",
)
@click.option("--strict", is_flag=True, help="Rank only across equal device and precision too.")
@click.option("--rounds", type=int, default=6, help="Fresh processes per cell.")
@click.option("--passes", type=int, help="Timed passes per process.  [default: 2, of a set 1]")
@click.option("--budget", help="Time for the whole run, such as 5m, spent where it decides most.")
@click.option("--ci-width", help="Keep sampling until every interval is this narrow, such as 2%.")
@click.option("--max-rounds", type=int, default=60, help="Most rounds of such a run.")
@click.option("--margin", help="Differences that do not count, such as 2%.  [default: by noise]")
@click.option("--reference", help="Backend that accuracy is compared with.  [default: by order]")
@click.option("--seed", type=int, default=0, help="Seed of visiting order and of samples.")
@click.option("--threads", type=int, help="CPU threads per backend.  [default: by machine]")
@click.option("--device", default="auto", help="Device to run on, where a backend has a choice.")
@click.option("--precision", default="auto", help="Precision to compute in, likewise.")
@click.option("--affinity", help="Processors that workers may use, such as 0-3,6 (Linux).")
@click.option("--nice", type=int, default=0, help="Added to the niceness of workers.")
@click.option("--cold-load", is_flag=True, help="Measure cold and warm loads too.")
@click.option(
    "--retake/--no-retake",
    default=True,
    envvar="SPEEDTEST_RETAKE",
    help="Take samples and rounds again in which the machine was disturbed.",
)
@click.option("--managed", is_flag=True, help="Run every backend from an environment of its own.")
@click.option("--install", is_flag=True, help="Install missing backends first.")
@click.option("--max-time", type=float, help="Seconds per cell.  [default: by the audio, from 120]")
@click.option("--max-memory", help="Memory limit of a worker, such as 4GB.  [default: 90 % of all]")
@click.option("--timeout", type=float, help="Seconds per stage.  [default: by model size]")
@click.option("--retries", type=int, default=0, help="Times a failed round is tried again.")
@click.option(
    "--repair", is_flag=True, help="Clear damaged weights and fetch or make them once more."
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@click.option("--max-failures", type=int, help="Stop when more cells than this have failed.")
@click.option("--tag", "tags", multiple=True, help="Give the run a name; can be repeated.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value=_UNFINISHED,
    metavar="[RUN]",
    help="Go on with an unfinished run of the same request: the newest, or RUN.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Also write the results here: .json, .jsonl, .csv, .tsv, .parquet, .md or .html.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON, not as a table.")
@click.option("--quiet", "-q", is_flag=True, help="No progress; only the table.")
@click.option("--json-logs", is_flag=True, help="Progress as JSON lines on stderr.")
@click.pass_context
def command(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    models: tuple[str, ...],
    backends: tuple[str, ...],
    audio: str | None,
    clip: str | None,
    manifest: Path | None,
    dataset: str | None,
    download: bool,
    mic: bool,
    mic_seconds: float | None,
    keep_recording: bool,
    max_download: str,
    allow_http: bool,
    durations: str | None,
    language: str | None,
    contract: str,
    strict: bool,
    rounds: int,
    passes: int | None,
    budget: str | None,
    ci_width: str | None,
    max_rounds: int,
    margin: str | None,
    reference: str | None,
    seed: int,
    threads: int | None,
    device: str,
    precision: str,
    affinity: str | None,
    nice: int,
    cold_load: bool,
    retake: bool,
    managed: bool,
    install: bool,
    max_time: float | None,
    max_memory: str | None,
    timeout: float | None,
    retries: int,
    repair: bool,
    fail_fast: bool,
    max_failures: int | None,
    tags: tuple[str, ...],
    resume: str | None,
    output: tuple[Path, ...],
    as_json: bool,
    quiet: bool,
    json_logs: bool,
) -> None:
    """Measure backends on one model and one recording, and print one ranked table.

    Every cell (backend × model × clip) is measured in fresh processes, round by round in shuffled
    order, and ranked among those that did equal work. Nothing is downloaded except a built-in clip
    that is not there yet, from your package index, and what --audio, --download, --install and
    --repair ask for.

    \b
    speedtest run --model tiny.en
    speedtest run --model tiny.en -b faster-whisper -b whisper.cpp --clip cities --budget 5m
    speedtest run --model tiny.en --manifest talks.jsonl
    speedtest run --model tiny.en --durations 2,5,10,20,30,31,60
    speedtest run --model tiny.en -b faster-whisper@1.1.1 -b faster-whisper@1.2.1
    speedtest run --model tiny.en -b whisper.cpp -b whisper.cpp:q5_1 --contract beam5
    speedtest run --model small --audio talk.mp3 --language en -o talk.json
    speedtest run --model tiny.en --tag before-update --resume
    """
    from mac_whisper_speedtest.audio.select import Choice
    from mac_whisper_speedtest.backends import registry
    from mac_whisper_speedtest.cli import options, progress
    from mac_whisper_speedtest.export import files
    from mac_whisper_speedtest.machine import describe
    from mac_whisper_speedtest.report import table
    from mac_whisper_speedtest.results import directory
    from mac_whisper_speedtest.results.directory import check as check_tag
    from mac_whisper_speedtest.run import install as installed
    from mac_whisper_speedtest.run import plan, session
    from mac_whisper_speedtest.run import resume as resumption
    from mac_whisper_speedtest.run.prepare import prepare

    observer = progress.observer(quiet=quiet or as_json, json_logs=json_logs)
    chosen = [
        replace(backend, managed=backend.managed or managed)
        for backend in registry.select(backends, registry.installed())
    ]
    request = plan.Request(
        models=tuple(dict.fromkeys(models)),
        backends=tuple(chosen),
        explicit=bool(backends),
        speech=Choice(
            audio=audio,
            clip=clip,
            manifest=manifest,
            dataset=dataset,
            mic=mic,
            mic_seconds=options.above_zero(mic_seconds, "--mic-seconds")
            if mic_seconds is not None
            else None,
            durations=options.lengths(durations, "--durations") if durations else None,
            language=language,
            seed=seed,
            keep=keep_recording,
            max_download_bytes=options.byte_size(max_download, "--max-download"),
            allow_http=allow_http,
        ),
        rounds=options.at_least(1, rounds, "--rounds"),
        passes=options.at_least(1, passes, "--passes") if passes is not None else None,
        budget_s=options.duration(budget, "--budget") if budget else None,
        ci_width=options.share(ci_width, "--ci-width") if ci_width else None,
        max_rounds=options.at_least(1, max_rounds, "--max-rounds"),
        margin=options.share(margin, "--margin") if margin else None,
        reference_backend=reference,
        seed=seed,
        threads=options.at_least(1, threads, "--threads")
        if threads is not None
        else describe.default_threads(),
        device=device,
        precision=precision,
        affinity=options.processors(affinity, "--affinity") if affinity else None,
        nice=nice,
        cold_load=cold_load,
        retake=retake,
        max_time_s=options.above_zero(max_time, "--max-time") if max_time is not None else None,
        timeout_s=options.above_zero(timeout, "--timeout") if timeout is not None else None,
        retries=options.at_least(0, retries, "--retries"),
        fail_fast=fail_fast,
        max_failures=options.at_least(0, max_failures, "--max-failures")
        if max_failures is not None
        else None,
        max_memory=options.byte_size(max_memory, "--max-memory") if max_memory else None,
        strict=strict,
        repair=repair,
        contract=CONTRACTS[contract],
        tags=tuple(dict.fromkeys(map(check_tag, tags))),
    )
    if resume is not None:
        resumption.check(request)
    for path in output:
        files.check_writable(path)
    if install:
        installed.add_missing(request.backends, observer.announce)
    prepared = prepare(
        request, announce=observer.announce, allow_download=download, level=observer.level
    )
    going_on = None
    if resume is not None:
        decided = resumption.decide(prepared, resume or None)
        for line in decided.words:
            observer.announce(line)
        prepared, going_on = decided.prepared, decided.run
    if going_on is not None and decided.complete:
        run_directory, run = going_on, session.resummarize(going_on)
    else:
        run_directory, run = session.measure(prepared, observer, resume=going_on)
    observer.close()
    for path in output:
        files.write_export(run, path)
    if as_json:
        click.echo(files.to_json(run), nl=False)
    else:
        table.show_run(run, saved_as=directory.name_of(run_directory))
    ctx.exit(exit_code(run, explicit=request.explicit))


def exit_code(run: Run, *, explicit: bool) -> ExitCode:
    """What a run's outcome tells the shell.

    Args:
        run: the sealed run.
        explicit: whether the backends were named. If not, one that is not installed is no failure.
    """
    if run.manifest.outcome is not None and run.manifest.outcome.state == "interrupted":
        return ExitCode.INTERRUPTED
    counted = [cell.status for cell in run.cells if explicit or cell.status != "unavailable"]
    good = counted.count("ok")
    if good == 0:
        return ExitCode.ALL_CELLS_FAILED
    return ExitCode.OK if good == len(counted) else ExitCode.SOME_CELLS_FAILED
