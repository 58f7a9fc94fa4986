"""``speedtest backends``: what can be measured here, and environments for the rest."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from mac_whisper_speedtest.cli import backend_facts, completion, contract, options, output
from mac_whisper_speedtest.cli.output import notify, say
from mac_whisper_speedtest.errors import SpeedtestError, UsageError
from mac_whisper_speedtest.option import ByteSize

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.backend import Backend
    from mac_whisper_speedtest.backends.recipe import AnyRecipe, Recipe

_SHOWN_EVERY_S = 15.0
"""Progress of a build without a terminal: a line from time to time."""


@click.group("backends")
def command() -> None:
    """List backends, and install one into its own environment."""


command.add_command(contract.command)


@command.command("list")
@options.json_flag
def list_backends(as_json: bool) -> None:
    """List every backend: its environment and description. Imports none of them."""
    from mac_whisper_speedtest.backends import registry

    found = list(registry.installed().values())
    if as_json:
        output.echo_json([backend_facts.facts(backend) for backend in found])
        return
    from mac_whisper_speedtest.report.terminal import show_list

    rows = []
    for backend in found:
        facts = backend_facts.facts(backend)
        rows.append(
            (
                backend.name,
                facts["runs_from"],
                facts["version"],
                backend.weights_format,
                backend.summary,
            )
        )
    headings = ("backend", "here", "version", "weights", "what it is")
    show_list(headings, rows, least=4, more="speedtest backends info NAME")


@command.command("info")
@click.argument("name", shell_complete=completion.backends)
@click.option(
    "--model",
    "-m",
    help="Show what it knows of this model: files, locations and time-outs.",
    shell_complete=completion.models,
)
@options.json_flag
def info(name: str, model: str | None, as_json: bool) -> None:
    """Show everything about the backend NAME, or NAME@VERSION. Does not import it."""
    (backend,) = _chosen((name,))
    if model is not None:
        from mac_whisper_speedtest.cli import model_info

        info = model_info.facts(backend, model)
        if as_json:
            output.echo_json(info)
        else:
            model_info.show(info)
        return
    facts = backend_facts.facts(backend)
    if as_json:
        output.echo_json(facts)
        return
    width = max(map(len, facts))
    for key, value in facts.items():
        heading = key.removesuffix("_bytes").replace("_", " ")
        for line in backend_facts.lines(value):
            say(f"{heading:{width}}  {line}")
            heading = ""


@command.command("install")
@click.argument("names", nargs=-1, shell_complete=completion.backends)
@click.option("--all", "everything", is_flag=True, help="Every backend that works on this machine.")
@click.option(
    "--max-size",
    type=options.Value(ByteSize()),
    help="With --all: skip environments above this size, such as 2GB.",
)
@click.option(
    "--build",
    default="auto",
    show_default=True,
    help="Which build: auto, cpu, index (the package index's torch), or cuda12.",
)
def install(names: tuple[str, ...], everything: bool, max_size: int | None, build: str) -> None:
    """Install each of NAMES into its own locked environment, from your package index.

    A name is NAME or NAME@VERSION; a version without a shipped lock is locked first. Files in uv's
    cache are not fetched again, so a killed call continues where it stopped.

    The bridges whisperkit, fluidaudio and apple-speech (macOS only) are built instead, from sources
    that ship with the tool, with the Swift of Xcode's Command Line Tools; that takes minutes.
    """
    from mac_whisper_speedtest.environments import installations
    from mac_whisper_speedtest.run.install import greet

    if max_size and not everything:
        raise UsageError("--max-size is for --all", hint="speedtest backends install --all")
    failed: list[SpeedtestError] = []
    for backend, recipe in _with_recipe(names, everything=everything):
        if everything and (why := _left_out(recipe, build, max_size)):
            notify(f"{recipe.name}: left out: {why}")
            continue
        try:
            with _BuildProgress() as progress:
                made = installations.install(
                    recipe,
                    backend.version,
                    build=build,
                    greet=greet,
                    notify=progress.notify,
                    progress=progress.show,
                    visible=sys.stderr.isatty(),
                )
        except SpeedtestError as error:
            if not everything:
                raise
            notify(f"{recipe.name}: not installed: {error.message}")
            failed.append(error)
            continue
        say(f"{recipe.name} {made.version} is installed {backend_facts.where(recipe)}")
    if failed:
        raise failed[0]


@command.command("remove")
@click.argument("names", nargs=-1, shell_complete=completion.backends)
@click.option("--all", "everything", is_flag=True, help="Remove every environment.")
@click.option("--locks", "with_locks", is_flag=True, help="Also remove your own locks of them.")
def remove(names: tuple[str, ...], everything: bool, with_locks: bool) -> None:
    """Remove the environments of NAMES: all versions, or one (NAME@VERSION)."""
    from mac_whisper_speedtest.environments import installations
    from mac_whisper_speedtest.files import megabytes

    for backend, recipe in _with_recipe(names, everything=everything):
        here = [
            each
            for each in installations.of_recipe(recipe)
            if backend.version in {"", each.version}
        ]
        unfinished = installations.remove_unfinished(recipe)
        if unfinished:
            say(f"{recipe.name}: removed an unfinished build, {megabytes(unfinished)} freed")
        elif not here and not everything:
            label = f"{recipe.name} {backend.version}".strip()
            say(f"{label}: {backend_facts.absent(recipe)}")
        for each in here:
            freed = installations.remove(each)
            held = each.size_bytes - freed
            say(
                f"{recipe.name} {each.version}: removed, "
                f"{megabytes(freed)} ({freed} bytes) freed"
                + (f"; {megabytes(held)} stay in uv's cache" if held > 0 else "")
            )
        if with_locks:
            _delete_locks(recipe, backend.version)


@command.command("lock")
@click.argument("names", nargs=-1, shell_complete=completion.backends)
@click.option("--output", type=click.Path(path_type=Path), help="Write the lock to this file.")
@click.option("--shipped", is_flag=True, help="For maintainers: rebuild all locks of the tool.")
def lock(names: tuple[str, ...], output: Path | None, shipped: bool) -> None:
    """Resolve each of NAMES at the package index, and write a lock with hashes."""
    from mac_whisper_speedtest import files
    from mac_whisper_speedtest.environments import locks, uv
    from mac_whisper_speedtest.paths import with_tilde

    if output is not None and len(names) > 1:
        raise UsageError("--output is one file, for one lock", hint="name one backend")
    if shipped and (names or output):
        raise UsageError("--shipped takes no names and no --output")
    for name, text in (locks.resolve_parts() if shipped else {}).items():
        files.write_bytes(locks.part_file(name), text.encode())
        say(f"{name}: locked {len(locks.packages(text))} packages")
    for backend, recipe in _locked_recipes(names, everything=shipped):
        if shipped:
            for version in locks.shipped_versions(recipe):
                made = locks.resolve(recipe, version)
                files.write_bytes(locks.shipped_file(recipe, version), made.text.encode())
                _locked(made, locks.shipped_file(recipe, version))
            continue
        version = backend.version or locks.default_version(recipe)
        known = locks.read_lock(recipe, version)
        if known and known.shipped and output is None:
            say(
                f"{recipe.name} {version} has a shipped lock, which is used: "
                f"{with_tilde(locks.shipped_file(recipe, version))}"
            )
            continue
        oldest = (
            locks.LOWEST_PYTHON if output else uv.minor_version(uv.choose_python(recipe).version)
        )
        made = locks.resolve(recipe, version, python=oldest)
        if output is not None:
            files.write_bytes(output, made.text.encode())
        _locked(made, output or locks.save(made))


@command.command("upgrade")
@click.argument("names", nargs=-1, shell_complete=completion.backends)
@click.option("--all", "everything", is_flag=True, help="Every backend that works on this machine.")
@click.option("--build", default="auto", show_default=True, help="Which build, as for install.")
def upgrade(names: tuple[str, ...], everything: bool, build: str) -> None:
    """Install the newest release of each of NAMES, and make it the default of the bare name."""
    from packaging.version import Version

    from mac_whisper_speedtest.environments import environments, installations, locks, uv

    for backend, recipe in _locked_recipes(names, everything=everything):
        if backend.version:
            raise UsageError(
                f"upgrade goes to the newest release, not to {backend.version}",
                hint=f"speedtest backends install {backend.name}@{backend.version}",
            )
        if everything and (why := _left_out(recipe, build, None)):
            notify(f"{recipe.name}: left out: {why}")
            continue
        installations.check_platform(recipe)
        before = locks.default_version(recipe)
        notify(f"{recipe.name}: asking the package index for the newest release")
        python = uv.minor_version(uv.choose_python(recipe).version)
        newest = locks.resolve(recipe, python=python)
        if Version(newest.version) <= Version(before):
            say(f"{recipe.name}: nothing to do, {before} is the newest release")
            continue
        if locks.read_lock(recipe, newest.version) is None:
            locks.save(newest)
        environments.install(
            recipe,
            newest.version,
            build=build,
            notify=notify,
            visible=sys.stderr.isatty(),
        )
        # Last: until the new version is installed, the name means the old one.
        locks.set_default(recipe, newest.version)
        say(f"{recipe.name}: upgraded from {before} to {newest.version}")


def _chosen(names: tuple[str, ...]) -> list[Backend]:
    from mac_whisper_speedtest.backends import registry

    return registry.select(names, registry.installed())


def _locked_recipes(names: tuple[str, ...], *, everything: bool) -> list[tuple[Backend, Recipe]]:
    """Those of `_with_recipe` that have locks.

    Raises:
        UsageError: as there, or a bridge is named.
    """
    from mac_whisper_speedtest.backends.recipe import SwiftRecipe

    found: list[tuple[Backend, Recipe]] = []
    for backend, recipe in _with_recipe(names, everything=everything):
        if not isinstance(recipe, SwiftRecipe):
            found.append((backend, recipe))
        elif not everything:
            raise UsageError(
                f"{recipe.name} has no locks: the release of this tool pins its packages, "
                f"at {recipe.version}",
                hint=f"a newer release of the tool may have a newer {recipe.name}",
            )
    return found


def _with_recipe(names: tuple[str, ...], *, everything: bool) -> list[tuple[Backend, AnyRecipe]]:
    """The backends that are meant, one for each environment or bridge.

    Raises:
        UsageError: none is named, --all and names are given, or one has no recipe or a precision.
    """
    if bool(names) == everything:
        raise UsageError(
            "no backend was named: give names, or --all", hint="speedtest backends list"
        )
    found: dict[tuple[str, str], tuple[Backend, AnyRecipe]] = {}
    for backend in _chosen(names):
        if backend.precision:
            raise UsageError(
                f"{backend.label}: an environment has no precision",
                hint=f"use {backend.label.partition(':')[0]}",
            )
        if backend.recipe is not None:
            found.setdefault((backend.recipe.name, backend.version), (backend, backend.recipe))
        elif not everything:
            raise UsageError(
                f"the tool has no lock for {backend.name!r}",
                hint="install its library beside the tool, or describe it in a .toml file",
            )
    return list(found.values())


def _left_out(recipe: AnyRecipe, build: str, limit: int | None) -> str:
    """Why ``--all`` does not mean this one; empty if it does."""
    from mac_whisper_speedtest.backends.recipe import unsuited
    from mac_whisper_speedtest.environments import installations
    from mac_whisper_speedtest.files import megabytes

    if why := unsuited(recipe):
        return why
    try:
        installations.check_tools(recipe)
        size = installations.needed_bytes(recipe, build) if limit is not None else 0
    except UsageError as error:
        return error.message.removeprefix(f"{recipe.name} ")
    if limit is not None and size > limit:
        return f"{megabytes(size)} is more than {megabytes(limit)}"
    return ""


class _BuildProgress:
    """Shows the last line of a build: on a terminal always, elsewhere now and then.

    Its `notify` first removes that line.
    """

    def __init__(self) -> None:
        self._line = output.RewrittenLine(sys.stderr)
        self._shown_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._line.write("")

    def show(self, text: str) -> None:
        if self._line.on_terminal:
            self._line.progress(text, done=False)
        elif text and time.monotonic() - self._shown_at > _SHOWN_EVERY_S:
            self._shown_at = time.monotonic()
            notify(f"building: {text}")

    def notify(self, text: str) -> None:
        self._line.write("")
        notify(text)


def _delete_locks(recipe: AnyRecipe, version: str) -> None:
    """Delete the user's own locks of ``recipe``: of that version, or all."""
    from mac_whisper_speedtest.backends.recipe import SwiftRecipe
    from mac_whisper_speedtest.environments import locks

    if isinstance(recipe, SwiftRecipe):
        return
    for each in locks.versions(recipe):
        if version in {"", each} and locks.delete_user_lock(recipe, each):
            say(f"{recipe.name} {each}: removed your lock")


def _locked(made: Any, path: Path) -> None:
    from mac_whisper_speedtest.environments import locks
    from mac_whisper_speedtest.paths import with_tilde

    count = len(locks.packages(made.text))
    say(f"{made.recipe} {made.version}: {count} packages locked in {with_tilde(path)}")
