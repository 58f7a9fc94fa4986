"""Creates one Python environment per recipe and version from a lock, completely or not at all.

Its path is ``envs/NAME@VERSION-pyXY-HASH`` in the cache folder, with the lock's hash. A killed
install leaves nothing that looks like an environment (`store`); downloads stay in uv's cache, and
the next call continues from there.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mac_whisper_speedtest import files, paths
from mac_whisper_speedtest.backends.recipe import Recipe, this_platform
from mac_whisper_speedtest.environments import builds, locks, source_build, store, uv
from mac_whisper_speedtest.environments.builds import CPU, CUDA12, INDEX, Build
from mac_whisper_speedtest.environments.locks import Lock
from mac_whisper_speedtest.errors import SpeedtestError, StorageError
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.paths import with_tilde
from mac_whisper_speedtest.version import __version__

_SPARE_BYTES = 200_000_000  # for uv's cache


@dataclass(frozen=True, slots=True)
class Environment:
    """A complete environment, as its ``environment.json`` describes it.

    Attributes:
        recipe: the recipe's name.
        version: of the recipe's distribution.
        lock_sha256: of its lock.
        python: the full version of its Python.
        torch: the build, of torch or with cuBLAS: ``cpu``, ``index``, ``cuda12``, or empty.
        uv: the version of uv that created it.
        tool: the version of this tool that created it.
        created: UTC, as ISO 8601.
        size_bytes: of all its files.
        path: the environment's folder.
        compiler: its name and version, if the distribution was built here; empty for a wheel.
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
    compiler: str = ""

    @property
    def interpreter(self) -> str:
        """Path of its Python."""
        return str(self.path / "bin" / "python")


def root() -> Path:
    """The folder of all environments."""
    return paths.cache_dir() / "envs"


def read_environment(path: Path) -> Environment | None:
    """The environment in the folder ``path``, or ``None`` if it is not complete."""
    fields = store.read_marker(path)
    try:
        environment = Environment(**fields, path=path) if fields else None
    except TypeError:
        return None
    # Its Python may have been uninstalled since: then bin/python is a dead link.
    return environment if environment and Path(environment.interpreter).exists() else None


def of_recipe(recipe: Recipe) -> list[Environment]:
    """Every complete environment of ``recipe``, of any version and lock, the newest last."""
    found = [read_environment(path) for path in root().glob(f"{recipe.name}@*")]
    return sorted((each for each in found if each), key=lambda each: each.created)


def find(recipe: Recipe, version: str) -> Environment | None:
    """The environment of ``recipe`` at ``version``, created from the current lock.

    It uses this Python if the recipe allows that, else any. Of several builds, the newest.
    """
    lock = locks.read_lock(recipe, version)
    if lock is None:
        return None
    digests = {_digest(text) for text in _variants(recipe, lock).values()}
    own = uv.this_python() if uv.this_python_fits(recipe) else ""
    for environment in reversed(of_recipe(recipe)):
        same = environment.version == version and environment.lock_sha256 in digests
        any_python = own == "" or (environment.torch == CUDA12 and recipe.uses_torch)
        if same and (any_python or own == uv.minor_version(environment.python)):
            return environment
    return None


def python_of(recipe: Recipe, version: str) -> str | None:
    """The interpreter of the environment of ``recipe`` at ``version``, or ``None``."""
    environment = find(recipe, version)
    return environment.interpreter if environment else None


def bytecode_of(interpreter: str) -> Path | None:
    """The folder for compiled modules of ``interpreter``: in its environment, if it has one.

    They are removed with the environment, and no folder of other owners is written.
    """
    home = Path(interpreter).parent.parent
    return home / "bytecode" if home.parent == root() else None


def install(
    recipe: Recipe,
    version: str = "",
    *,
    build: str = "auto",
    notify: Callable[[str], None],
    visible: bool = False,
    progress: Callable[[str], None] = lambda _line: None,
    free_bytes: store.FreeBytes = store.free_bytes,
) -> Environment:
    """Create the environment of ``recipe`` at ``version``, or return the existing one.

    Args:
        recipe: what to install.
        version: of its distribution; empty for the default one. A missing lock is created.
        build: ``auto``, ``cpu``, ``index`` or ``cuda12``; see `builds.choose`.
        notify: called with one line for every step.
        visible: show uv's progress on stderr.
        progress: called several times a second with the last line of a build from source.
        free_bytes: free space on the file system of a folder.

    Raises:
        UsageError: no Python here fits it, the version is not available, or it is built from
            source and there is no compiler.
        StorageError: the disk is too full, or the folder cannot be written.
        SpeedtestError: the packages could not be downloaded or installed.
    """
    version = version or locks.default_version(recipe)
    python = uv.choose_python(recipe)
    lock = locks.ensure(recipe, version, python=uv.minor_version(python.version), notify=notify)
    chosen = choose_build(recipe, build, python)
    if chosen.reason:
        notify(f"{recipe.name} {version}: {chosen.reason}")
    if recipe.uses_torch and chosen.name == CUDA12:
        older = replace(recipe, python=f"{recipe.python},{builds.CUDA12_PYTHON}")
        python = uv.choose_python(older)
    text = _variants(recipe, lock)[chosen.name]
    compiler = source_build.compiler(recipe) if recipe.build else ""
    target = _folder(lock, text + compiler, python)
    target.parent.mkdir(parents=True, exist_ok=True)
    waiting = f"{recipe.name} {version} is being installed by another process: waiting for it"
    with files.locked(store.lock_path(target), notify=lambda: notify(waiting)):
        store.delete_leftovers(target.parent, own=target)
        if made := read_environment(target):
            notify(f"{recipe.name} {version} is already installed")
            return made
        needed = int(recipe.bytes_here(chosen.name) * store.SPARE_SHARE) + _SPARE_BYTES
        store.check_space(target.parent, needed, recipe.name, free_bytes)
        # An incomplete environment of that name: its Python or other files were deleted.
        shutil.rmtree(target, ignore_errors=True)
        count = len(locks.applicable(text, python.version))
        notify(f"{recipe.name} {version}: downloading and installing {count} packages")
        began = time.monotonic()
        with store.staged(target) as staging:
            try:
                _install_packages(
                    recipe,
                    staging,
                    text,
                    python.path,
                    find_links=not recipe.uses_torch or chosen.name == CPU,
                    visible=visible,
                )
                if recipe.build:
                    log = target.with_name(f"{target.name}.log")
                    notify(
                        f"{recipe.name} {version}: building {recipe.distribution} from source, "
                        f"which takes minutes; log: {with_tilde(log)}"
                    )
                    source_build.install(recipe, staging, text, log=log, progress=progress)
            except StorageError:
                raise
            except SpeedtestError as error:
                if free_bytes(target.parent) < store.FULL_BYTES:
                    raise StorageError(
                        f"the disk became full while {recipe.name} was being installed",
                        hint=f"free some space for {with_tilde(target.parent)}, then try again",
                    ) from error
                raise
            made = _write_marker(
                staging,
                target,
                lock,
                text=text,
                python=python.version,
                build=chosen.name,
                compiler=compiler,
            )
        took = time.monotonic() - began
        notify(f"{recipe.name} {version}: done in {took:.1f} s, {megabytes(made.size_bytes)}")
        return made


def choose_build(recipe: Recipe, requested: str, python: uv.Python) -> Build:
    """The build for this machine. Raises UsageError, as `builds.choose`."""
    return builds.choose(
        recipe,
        requested,
        platform=this_platform(),
        driver=builds.nvidia_driver(),
        cpu_wheel=uv.has_cpu_torch(python, uv.wheel_folders()),
    )


def _variants(recipe: Recipe, lock: Lock) -> dict[str, str]:
    """The texts of this lock by build, with the options of a build from source."""
    if recipe.uses_cublas:
        return {"": lock.text, CUDA12: lock.text + locks.shipped_part(locks.CUBLAS)}
    if not recipe.uses_torch:
        return {"": source_build.described(recipe, lock.text)}
    return {
        INDEX: lock.text,
        CPU: locks.with_torch(lock.text, locks.shipped_part(locks.TORCH_CPU)),
        CUDA12: locks.with_torch(lock.text, locks.shipped_part(locks.TORCH_CUDA12)),
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _folder(lock: Lock, text: str, python: uv.Python) -> Path:
    major_minor = uv.minor_version(python.version).replace(".", "")
    return root() / f"{lock.recipe}@{lock.version}-py{major_minor}-{_digest(text)[:12]}"


def _install_packages(
    recipe: Recipe, staging: Path, text: str, python: str, *, find_links: bool, visible: bool
) -> None:
    """Install everything in the lock ``text`` except packages that are built from source."""
    if recipe.build:
        wheels = (each for each in locks.packages(text) if not locks.is_built(recipe, each))
        text = "".join(each.text for each in wheels)
    requirements = staging / "requirements.txt"
    requirements.write_text(text, encoding="utf-8")
    uv.call("venv", "--relocatable", "--python", python, "--allow-existing", staging)
    # --no-deps: the lock is complete, and omits packages that are never imported.
    install = [
        *("pip", "install", "--python", str(staging / "bin" / "python")),
        *("--no-deps", "--require-hashes", "--requirement", str(requirements)),
        # A release without wheels is built with the tools of the same lock, hashes included.
        *("--build-constraints", str(requirements)),
    ]
    variables = uv.for_installing(find_links=find_links)
    try:
        # If uv's cache has everything, this saves the query of the index, which takes most of the
        # time; otherwise it fails before anything is installed.
        uv.call(*install, "--offline", environment=variables)
    except StorageError:
        raise
    except SpeedtestError:
        uv.call(*install, environment=variables, visible=visible)


def _write_marker(
    staging: Path,
    target: Path,
    lock: Lock,
    *,
    text: str,
    python: str,
    build: str,
    compiler: str,
) -> Environment:
    """Write the last file, which marks the environment as complete."""
    made = Environment(
        recipe=lock.recipe,
        version=lock.version,
        lock_sha256=_digest(text),
        python=python,
        torch=build,
        uv=uv.version(),
        tool=__version__,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        size_bytes=store.size_of(staging),
        path=target,
        compiler=compiler,
    )
    store.write_marker(staging, {k: value for k, value in asdict(made).items() if k != "path"})
    return made
