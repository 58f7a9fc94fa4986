"""One environment per recipe and version, made from a lock, that is either whole or not there.

Each lies in the cache folder as ``envs/NAME@VERSION-pyXY-HASH``; the hash is of the lock. It is
made in a staging folder and renamed when it is whole, so a killed install leaves nothing that looks
like an environment; what uv had fetched by then is in its cache, and the next call goes on from
there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from mac_whisper_speedtest import files, paths
from mac_whisper_speedtest.backends.backend import Recipe, this_platform
from mac_whisper_speedtest.environments import locks, uv
from mac_whisper_speedtest.environments.locks import Lock
from mac_whisper_speedtest.errors import SpeedtestError, StorageError, UsageError
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.version import __version__

MARK = "environment.json"

_SPARE_SHARE = 1.1  # of the recipe's own size, for what differs between platforms
_SPARE_BYTES = 200_000_000  # for uv's cache
_FULL_BYTES = 20_000_000  # what a disk has left when an install failed for lack of space


@dataclass(frozen=True, slots=True)
class Environment:
    """What ``environment.json`` in a whole environment says, and where it is.

    Attributes:
        recipe: the recipe's name.
        version: of the recipe's distribution.
        lock_sha256: of the lock it was made from.
        python: the full version of its Python.
        torch: which build of torch it has: ``cpu``, ``index`` or empty for none.
        uv: the version of uv that made it.
        tool: the version of this tool that made it.
        created: when, in UTC, as ISO 8601.
        size_bytes: all of its files.
        path: the environment's folder.
    """

    recipe: str
    version: str
    lock_sha256: str
    python: str
    torch: str
    uv: str
    tool: str
    created: str
    size_bytes: int
    path: Path

    @property
    def interpreter(self) -> str:
        """Its Python."""
        return str(self.path / "bin" / "python")


def root() -> Path:
    """The folder of all environments."""
    return paths.cache_dir() / "envs"


def whole(path: Path) -> Environment | None:
    """What the folder ``path`` holds, or ``None`` if that is not a whole environment."""
    try:
        said = json.loads((path / MARK).read_text(encoding="utf-8"))
        environment = Environment(**said, path=path)
    except (OSError, ValueError, TypeError):
        return None
    # The Python it was made with may have been uninstalled since: then bin/python leads nowhere.
    return environment if Path(environment.interpreter).exists() else None


def of_recipe(recipe: Recipe) -> list[Environment]:
    """Every whole environment of ``recipe``, of whatever version and lock, the newest last."""
    found = [whole(path) for path in root().glob(f"{recipe.name}@*")]
    return sorted((each for each in found if each), key=lambda each: each.created)


def find(recipe: Recipe, version: str) -> Environment | None:
    """The environment of ``recipe`` at ``version``, made from the lock that is valid today.

    With this Python if the recipe allows that, else with another one. If it exists with both builds
    of torch, the one that was made last.
    """
    lock = locks.read_lock(recipe, version)
    if lock is None:
        return None
    digests = {_digest(text) for text in _variants(recipe, lock).values()}
    own = uv.own() if uv.own_fits(recipe) else ""
    for environment in reversed(of_recipe(recipe)):
        same = environment.version == version and environment.lock_sha256 in digests
        if same and own in {"", uv.minor(environment.python)}:
            return environment
    return None


def python_of(recipe: Recipe, version: str) -> str | None:
    """The interpreter of the environment of ``recipe`` at ``version``, or ``None``."""
    environment = find(recipe, version)
    return environment.interpreter if environment else None


def bytecode_of(interpreter: str) -> Path | None:
    """Where the modules that ``interpreter`` compiles are kept: in its environment, if it has one.

    They go with the environment, and nothing is written beside anyone's sources.
    """
    home = Path(interpreter).parent.parent
    return home / "bytecode" if home.parent == root() else None


def install(
    recipe: Recipe,
    version: str = "",
    *,
    torch: str = "auto",
    notify: Callable[[str], None],
    visible: bool = False,
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
) -> Environment:
    """Make the environment of ``recipe`` at ``version``, or find it made.

    Args:
        recipe: what to install.
        version: of its distribution; empty for the default one. A lock is made if there is none.
        torch: which build of torch, for recipes that have it: ``auto``, ``cpu`` or ``index``.
        notify: is told of every step, in one line.
        visible: let uv draw its progress on stderr.
        free_bytes: how much is free on the file system of a folder.

    Raises:
        UsageError: it does not work on this platform or with any Python here, or that version
            cannot be had.
        StorageError: the disk is too full, or the folder cannot be written.
        SpeedtestError: the packages could not be had.
    """
    check_platform(recipe)
    version = version or locks.default_version(recipe)
    python = uv.choose(recipe)
    lock = locks.ensure(recipe, version, python=uv.minor(python.version), notify=notify)
    build = torch_build(recipe, torch, python)
    text = _variants(recipe, lock)[build]
    target = _folder(lock, text, python)
    target.parent.mkdir(parents=True, exist_ok=True)
    waiting = f"{recipe.name} {version} is being installed by another process: waiting for it"
    with files.locked(_lock_path(target), notify=lambda: notify(waiting)):
        _sweep(target.parent, own=target)
        if made := whole(target):
            notify(f"{recipe.name} {version} is already installed")
            return made
        _check_space(target.parent, recipe.bytes_with(build), recipe.name, free_bytes)
        # What has the name but is not whole: its Python is gone, or someone deleted files.
        shutil.rmtree(target, ignore_errors=True)
        count = len(locks.needed(text, python.version))
        notify(f"{recipe.name} {version}: downloading and installing {count} packages")
        began = time.monotonic()
        with _staged(target) as staging:
            try:
                _fill(staging, text, python.path, find_links=build != "index", visible=visible)
            except StorageError:
                raise
            except SpeedtestError as error:
                if free_bytes(target.parent) < _FULL_BYTES:
                    raise StorageError(
                        f"the disk became full while {recipe.name} was being installed",
                        hint=f"free some space for {shown(target.parent)}, and call this again",
                    ) from error
                raise
            made = _mark(staging, target, lock, text=text, python=python.version, build=build)
        took = time.monotonic() - began
        notify(f"{recipe.name} {version}: done in {took:.1f} s, {megabytes(made.size_bytes)}")
        return made


def remove(environment: Environment) -> int:
    """Delete an environment, and return the bytes that are free again.

    That leaves out files that uv's cache holds as well: those are freed when that is emptied.

    Raises:
        StorageError: it could not be deleted.
    """
    path = environment.path
    # Out of the way in one step, so that what a killed removal leaves is not taken to be whole.
    doomed = path.with_name(f".{path.name}.removed")
    try:
        with files.locked(_lock_path(path)):
            freed = sum(status.st_size for status in _files(path) if status.st_nlink == 1)
            shutil.rmtree(doomed, ignore_errors=True)
            path.rename(doomed)
            shutil.rmtree(doomed)
    except OSError as error:
        raise StorageError(
            f"cannot remove {shown(path)}: {error.strerror or error}",
            hint="check the permissions of that folder",
        ) from error
    return freed


def check_platform(recipe: Recipe) -> None:
    """Raise UsageError if ``recipe`` does not work on this operating system and machine."""
    if not recipe.works_here():
        raise UsageError(
            f"{recipe.name} works on {' and '.join(recipe.platforms)}, and this is "
            f"{this_platform()}",
            hint="speedtest backends list shows which backends there are for this machine",
        )


def torch_build(recipe: Recipe, asked: str, python: uv.Python) -> str:
    """Which build of torch an install takes: ``cpu``, ``index``, or empty for recipes without.

    ``auto`` is the CPU build on a Linux machine without an NVIDIA driver, if a folder of wheels
    that pip is configured with holds it for ``python``: the index's build is four times as large.

    Raises:
        UsageError: ``asked`` is no such choice.
    """
    if asked not in {"auto", "cpu", "index"}:
        raise UsageError(f"--torch is {asked!r}", hint="say auto, cpu or index")
    if not recipe.uses_torch:
        return ""
    if sys.platform != "linux":
        return "index"  # there is no other one
    if asked != "auto":
        return asked
    return "cpu" if uv.cpu_torch_is_enough(python, uv.wheel_folders()) else "index"


def _variants(recipe: Recipe, lock: Lock) -> dict[str, str]:
    """The texts that an environment of this lock may be made from, by build of torch."""
    if not recipe.uses_torch:
        return {"": lock.text}
    return {
        "index": lock.text,
        "cpu": locks.cpu_variant(lock.text, locks.torch_cpu_builds()),
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _folder(lock: Lock, text: str, python: uv.Python) -> Path:
    major_minor = uv.minor(python.version).replace(".", "")
    return root() / f"{lock.recipe}@{lock.version}-py{major_minor}-{_digest(text)[:12]}"


def _lock_path(target: Path) -> Path:
    """What whoever installs or removes ``target`` holds."""
    return target.with_name(f"{target.name}.lock")


def _sweep(folder: Path, *, own: Path) -> None:
    """Delete what killed installs and removals left: folders whose install nobody is at.

    Staging folders are named ``.TARGET.RANDOM``, and whoever fills one holds the lock of TARGET.
    """
    for left in folder.glob(".*@*"):
        target = left.with_name(left.name[1:].rpartition(".")[0])
        if target == own:
            shutil.rmtree(left, ignore_errors=True)
            continue
        with files.locked(_lock_path(target), wait=False) as idle:
            if idle:
                shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """Yield a folder that becomes ``target`` when the block ends well, and is deleted otherwise.

    Unlike :func:`files.staged_directory` it does not wait for thousands of files to reach the
    disk, which takes longer than making them: nothing here is precious, only its being whole is.
    """
    try:
        staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        try:
            yield staging
            staging.chmod(0o755)
            staging.rename(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"cannot write {shown(target)}: {error.strerror or error}",
            hint="check the free disk space and the permissions of that folder",
        ) from error


def _fill(staging: Path, text: str, python: str, *, find_links: bool, visible: bool) -> None:
    requirements = staging / "requirements.txt"
    requirements.write_text(text, encoding="utf-8")
    uv.call("venv", "--relocatable", "--python", python, "--allow-existing", staging)
    # --no-deps: the lock is the whole list, and leaves out what is never imported.
    install = [
        *("pip", "install", "--python", str(staging / "bin" / "python")),
        *("--no-deps", "--require-hashes", "--requirement", str(requirements)),
    ]
    variables = uv.for_installing(find_links=find_links)
    try:
        # With everything in uv's cache there is no need to ask the index, which takes most of the
        # time; without, this fails before anything is installed.
        uv.call(*install, "--offline", environment=variables)
    except StorageError:
        raise
    except SpeedtestError:
        uv.call(*install, environment=variables, visible=visible)


def _mark(
    staging: Path, target: Path, lock: Lock, *, text: str, python: str, build: str
) -> Environment:
    """Write what makes the environment count as whole: the last file of all."""
    made = Environment(
        recipe=lock.recipe,
        version=lock.version,
        lock_sha256=_digest(text),
        python=python,
        torch=build,
        uv=uv.version(),
        tool=__version__,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        size_bytes=sum(status.st_size for status in _files(staging)),
        path=target,
    )
    said = {key: value for key, value in asdict(made).items() if key != "path"}
    files.write_bytes(staging / MARK, (json.dumps(said, indent=2) + "\n").encode())
    return made


def _files(folder: Path) -> Iterator[os.stat_result]:
    """The status of every file below ``folder``; links are not followed."""
    folders = [os.fspath(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif not entry.is_symlink():
                    yield entry.stat(follow_symlinks=False)


def _check_space(folder: Path, size: int, name: str, free_bytes: Callable[[Path], int]) -> None:
    needed = int(size * _SPARE_SHARE) + _SPARE_BYTES
    free = free_bytes(folder)
    if free < needed:
        raise StorageError(
            f"{name} needs {megabytes(needed)} ({needed} bytes) in {shown(folder)}, "
            f"and {megabytes(free)} ({free} bytes) are free",
            hint="free some space, or move the cache with SPEEDTEST_CACHE_DIR",
        )


def shown(path: Path) -> str:
    """A path as people are shown it: with the home folder as ``~``."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
