"""``speedtest backends``: what can be measured here, and environments for the rest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mac_whisper_speedtest.cli import contract, options, output
from mac_whisper_speedtest.cli.output import notify, say
from mac_whisper_speedtest.errors import SpeedtestError, UsageError
from mac_whisper_speedtest.option import ByteSize

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.backend import Backend, Recipe
    from mac_whisper_speedtest.environments.environments import Environment


@click.group("backends")
def command() -> None:
    """List backends, and install one into its own environment."""


command.add_command(contract.command)


@command.command("list")
@options.json_flag
def list_backends(as_json: bool) -> None:
    """List every backend: where it would run from, and what it is. Imports none of them."""
    from mac_whisper_speedtest.backends import registry

    found = list(registry.installed().values())
    if as_json:
        output.echo_json([_facts(backend) for backend in found])
        return
    from rich.table import Table

    from mac_whisper_speedtest.report.console import output_console

    table = Table(box=None, pad_edge=False)
    for heading in ("backend", "version", "here", "weights", "what it is"):
        table.add_column(heading, no_wrap=True)
    for backend in found:
        facts = _facts(backend)
        table.add_row(
            backend.name,
            facts["version"],
            facts["runs_from"],
            backend.weights_format,
            backend.summary,
        )
    # On a terminal `info` shows what does not fit.
    output_console().print(table)


@command.command("info")
@click.argument("name")
@click.option(
    "--model", "-m", help="Show what it knows of this model: files, locations and time-outs."
)
@options.json_flag
def info(name: str, model: str | None, as_json: bool) -> None:
    """Show all that is known of the backend NAME, or NAME@VERSION. Imports nothing of it."""
    (backend,) = _chosen((name,))
    if model is not None:
        from mac_whisper_speedtest.cli import model_info

        info = model_info.facts(backend, model)
        if as_json:
            output.echo_json(info)
        else:
            model_info.show(info)
        return
    facts = _facts(backend)
    if as_json:
        output.echo_json(facts)
        return
    width = max(map(len, facts))
    for key, value in facts.items():
        heading = key.removesuffix("_bytes").replace("_", " ")
        for line in _lines(value):
            say(f"{heading:{width}}  {line}")
            heading = ""


@command.command("install")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every backend made for this platform.")
@click.option(
    "--max-size",
    type=options.Value(ByteSize()),
    help="With --all: leave larger environments out, such as 2GB.",
)
@click.option(
    "--torch",
    default="auto",
    show_default=True,
    help="Which build of torch: auto, cpu, or the package index's (index).",
)
def install(names: tuple[str, ...], everything: bool, max_size: int | None, torch: str) -> None:
    """Install each of NAMES into a locked environment of its own, from your package index.

    A name is NAME or NAME@VERSION; a version that no lock ships for is locked first. Nothing is
    fetched that uv has in its cache, so a call that was killed goes on where it was.
    """
    from mac_whisper_speedtest.environments import environments

    if max_size and not everything:
        raise UsageError("--max-size is for --all", hint="speedtest backends install --all")
    failed: list[SpeedtestError] = []
    for backend, recipe in _with_recipe(names, everything=everything):
        if everything and (why := _left_out(recipe, torch, max_size)):
            notify(f"{recipe.name}: left out: {why}")
            continue
        try:
            made = environments.install(
                recipe,
                backend.version,
                torch=torch,
                notify=notify,
                visible=sys.stderr.isatty(),
            )
        except SpeedtestError as error:
            if not everything:
                raise
            notify(f"{recipe.name}: not installed: {error.message}")
            failed.append(error)
            continue
        say(f"{recipe.name} {made.version} is installed in its own environment")
    if failed:
        raise failed[0]


@command.command("remove")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every environment there is.")
@click.option("--locks", "with_locks", is_flag=True, help="Your own locks of them as well.")
def remove(names: tuple[str, ...], everything: bool, with_locks: bool) -> None:
    """Remove the environments of NAMES: of all versions, or of one (NAME@VERSION)."""
    from mac_whisper_speedtest.environments import environments, locks
    from mac_whisper_speedtest.files import megabytes

    for backend, recipe in _with_recipe(names, everything=everything):
        here = [
            each for each in environments.of_recipe(recipe) if backend.version in {"", each.version}
        ]
        label = f"{recipe.name} {backend.version}".strip()
        if not here and not everything:
            say(f"{label}: there is no environment of it")
        for environment in here:
            freed = environments.remove(environment)
            held = environment.size_bytes - freed
            say(
                f"{recipe.name} {environment.version}: removed, "
                f"{megabytes(freed)} ({freed} bytes) freed"
                + (f"; {megabytes(held)} stay in uv's cache" if held > 0 else "")
            )
        for version in locks.versions(recipe) if with_locks else ():
            if backend.version in {"", version} and locks.delete_user_lock(recipe, version):
                say(f"{recipe.name} {version}: your lock is removed")


@command.command("lock")
@click.argument("names", nargs=-1)
@click.option("--output", type=click.Path(path_type=Path), help="The file to write the lock to.")
@click.option(
    "--shipped", is_flag=True, help="For maintainers: remake all that ship with the tool."
)
def lock(names: tuple[str, ...], output: Path | None, shipped: bool) -> None:
    """Ask the package index what each of NAMES needs, and write that down with hashes."""
    from mac_whisper_speedtest import files
    from mac_whisper_speedtest.environments import locks, uv
    from mac_whisper_speedtest.paths import with_tilde

    if output is not None and len(names) > 1:
        raise UsageError("--output is one file, for one lock", hint="name one backend")
    if shipped and (names or output):
        raise UsageError("--shipped takes no names and no --output")
    for backend, recipe in _with_recipe(names, everything=shipped):
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
                f"{recipe.name} {version} ships locked, and that lock is used: "
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
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every backend made for this platform.")
@click.option("--torch", default="auto", show_default=True, help="As for install.")
def upgrade(names: tuple[str, ...], everything: bool, torch: str) -> None:
    """Install the newest release of each of NAMES, and make it what the bare name means."""
    from packaging.version import Version

    from mac_whisper_speedtest.environments import environments, locks, uv

    for backend, recipe in _with_recipe(names, everything=everything):
        if backend.version:
            raise UsageError(
                f"upgrade goes to the newest release, not to {backend.version}",
                hint=f"speedtest backends install {backend.name}@{backend.version}",
            )
        if everything and (why := _left_out(recipe, torch, None)):
            notify(f"{recipe.name}: left out: {why}")
            continue
        environments.check_platform(recipe)
        before = locks.default_version(recipe)
        notify(f"{recipe.name}: asking for the newest release")
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
            torch=torch,
            notify=notify,
            visible=sys.stderr.isatty(),
        )
        # Last of all: until it is installed, the name means what it meant.
        locks.set_default(recipe, newest.version)
        say(f"{recipe.name}: upgraded from {before} to {newest.version}")


def _chosen(names: tuple[str, ...]) -> list[Backend]:
    from mac_whisper_speedtest.backends import registry

    return registry.select(names, registry.installed())


def _with_recipe(names: tuple[str, ...], *, everything: bool) -> list[tuple[Backend, Recipe]]:
    """The backends that are meant, one for each environment.

    Raises:
        UsageError: none is named, or all and some, or one has no recipe or asks for a precision.
    """
    if bool(names) == everything:
        raise UsageError(
            "say which backends: their names, or --all", hint="speedtest backends list"
        )
    found: dict[tuple[str, str], tuple[Backend, Recipe]] = {}
    for backend in _chosen(names):
        if backend.precision:
            raise UsageError(
                f"{backend.label}: an environment has no precision",
                hint=f"say {backend.label.partition(':')[0]}",
            )
        if backend.recipe is not None:
            found.setdefault((backend.recipe.name, backend.version), (backend, backend.recipe))
        elif not everything:
            raise UsageError(
                f"no locked environment ships for {backend.name!r}",
                hint="install its library beside the tool, or describe it in a .toml file",
            )
    return list(found.values())


def _left_out(recipe: Recipe, torch: str, limit: int | None) -> str:
    """Why ``--all`` does not mean this one; empty if it does."""
    from mac_whisper_speedtest.environments import environments, uv
    from mac_whisper_speedtest.files import megabytes

    if not recipe.works_here():
        return f"it works only on {' and '.join(recipe.platforms)}"
    if limit is None:
        return ""
    try:
        python = uv.choose_python(recipe)
    except UsageError as error:
        return error.message
    size = recipe.bytes_with(environments.torch_build(recipe, torch, python))
    if size > limit:
        return f"{megabytes(size)} is more than {megabytes(limit)}"
    return ""


def _facts(backend: Backend) -> dict[str, Any]:
    """What ``list`` and ``info`` tell of a backend, in the words of the JSON output."""
    from mac_whisper_speedtest.environments import environments, locks, uv
    from mac_whisper_speedtest.paths import with_tilde
    from mac_whisper_speedtest.worker import launch

    recipe = backend.recipe
    here = environments.of_recipe(recipe) if recipe else []
    facts: dict[str, Any] = {
        "name": backend.name,
        "what": backend.summary,
        "runs_from": "not installed",
        "version": "",
        "path": "",
        "installed": [_installed(each) for each in here],
        "devices": list(backend.devices),
        "weights": backend.weights_format,
        "source": backend.source,
    }
    if backend.broken:
        facts |= {"runs_from": "broken", "broken": backend.broken}
    elif backend.command or backend.python or launch.runs_in_place(backend):
        facts |= {
            "runs_from": "beside the tool",
            "version": launch.installed_version(recipe) if recipe else "",
            "path": with_tilde(Path(backend.python or sys.executable)),
        }
    elif recipe is not None:
        version = backend.version or locks.default_version(recipe)
        facts["version"] = version
        if found := environments.find(recipe, version):
            facts |= {"runs_from": "own environment", "path": with_tilde(found.path)}
    if recipe is not None:
        facts |= {
            "locked": locks.versions(recipe),
            "default": locks.default_version(recipe),
            "python": recipe.python,
            "this_python_fits": uv.this_python_fits(recipe),
            "platforms": list(recipe.platforms),
            "works_on_this_platform": recipe.works_here(),
            "size_bytes": recipe.size_bytes,
            "notes": list(recipe.notes),
        }
    return facts


def _installed(environment: Environment) -> dict[str, Any]:
    from mac_whisper_speedtest.paths import with_tilde

    return {
        "version": environment.version,
        "python": environment.python,
        "torch": environment.torch,
        "size_bytes": environment.size_bytes,
        "path": with_tilde(environment.path),
    }


def _lines(value: Any) -> list[str]:
    """One fact as lines of text."""
    from mac_whisper_speedtest.files import megabytes

    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if isinstance(value, int):
        return [megabytes(value)]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [
            f"{each['version']} (Python {each['python']}, {megabytes(each['size_bytes'])}"
            + (f", torch from {each['torch']}" if each["torch"] else "")
            + f") {each['path']}"
            for each in value
        ]
    if isinstance(value, list):
        text = [str(each) for each in value]
        return text if any(" " in each for each in text) else [", ".join(text) or "-"]
    return [str(value) or "-"]


def _locked(made: Any, path: Path) -> None:
    from mac_whisper_speedtest.environments import locks
    from mac_whisper_speedtest.paths import with_tilde

    count = len(locks.packages(made.text))
    say(f"{made.recipe} {made.version}: {count} packages locked in {with_tilde(path)}")
