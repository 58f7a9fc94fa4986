"""Locks: the complete list of packages, by version and hash, of one recipe at one version.

Tested locks ship with the tool, in ``backends/locks``. ``speedtest backends lock`` creates locks of
other versions in the user's data folder. docs/explanation/backends.md explains what a lock omits.
"""

from __future__ import annotations

import json
import re
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from mac_whisper_speedtest import files, paths
from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.environments import uv
from mac_whisper_speedtest.errors import SpeedtestError, UsageError

LOWEST_PYTHON = "3.11"
TORCH_CPU, TORCH_CUDA12, CUBLAS = "torch-cpu", "torch-cuda12", "cublas-cuda12"
"""Names of the parts of locks by which the builds of an environment differ."""

_PARTS = {
    TORCH_CUDA12: "torch==2.7.1",  # the newest on the index with kernels for Pascal and Volta
    CUBLAS: "nvidia-cublas-cu12; sys_platform == 'linux' and platform_machine == 'x86_64'",
}
"""Part → requirements to resolve it. The CPU builds of torch are not on the package index."""

# Without it uv assumes an old macOS, and resolves to releases of MLX that are years old.
_OLDEST_MACOS = {"MACOSX_DEPLOYMENT_TARGET": "14.0"}
_PINNED = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?==(?P<version>[^\s;\\]+)")
_CUDA_PACKAGE = re.compile(r"(nvidia|cuda)-.*|(pytorch-)?triton.*")


@dataclass(frozen=True, slots=True)
class Lock:
    """The packages of ``recipe`` at ``version``.

    Attributes:
        recipe: the recipe's name.
        version: of the recipe's distribution.
        text: a requirements file in which everything is pinned and hashed.
        shipped: whether it ships with this tool.
    """

    recipe: str
    version: str
    text: str
    shipped: bool = False


@dataclass(frozen=True, slots=True)
class Package:
    """One entry of a lock: ``text`` is its lines, hashes included."""

    name: str
    version: str
    marker: str
    text: str


def packages(text: str) -> list[Package]:
    """The entries of a lock, in its order.

    Raises:
        ValueError: a line is not a pinned package.
    """
    from packaging.utils import canonicalize_name

    found: list[Package] = []
    for line in text.splitlines(keepends=True):
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isspace():
            if not found:
                raise ValueError(f"a lock starts with a continuation line: {line.strip()!r}")
            last = found.pop()
            found.append(Package(last.name, last.version, last.marker, last.text + line))
            continue
        match = _PINNED.match(line)
        if not match:
            raise ValueError(f"not pinned to one version: {line.strip()!r}")
        marker = line[match.end() :].strip().removesuffix("\\").split("--hash")[0]
        name = canonicalize_name(match["name"])
        found.append(Package(name, match["version"], marker.strip().removeprefix(";"), line))
    return found


def applicable(text: str, python: str) -> list[Package]:
    """The entries of a lock that apply to this machine with the full Python version ``python``."""
    from packaging.markers import Marker

    here = {"python_full_version": python, "python_version": ".".join(python.split(".")[:2])}
    return [
        package
        for package in packages(text)
        if not package.marker.strip() or Marker(package.marker).evaluate(dict(here))
    ]


def with_torch(text: str, builds: str) -> str:
    """The lock ``text`` with its torch and CUDA libraries replaced by another build's.

    Args:
        text: a lock in which torch is the package index's build.
        builds: a lock of torch, with the CUDA libraries that this build needs.
    """
    return "".join(
        builds.rstrip("\n") + "\n" if package.name == "torch" else package.text
        for package in packages(text)
        if not _CUDA_PACKAGE.fullmatch(package.name)
    )


def shipped_part(name: str) -> str:
    """The part of that name, as a lock."""
    return part_file(name).read_text(encoding="utf-8")


def part_file(name: str) -> Path:
    """Where the part of that name ships."""
    return Path(str(_shipped_folder().joinpath(f"{name}.txt")))


def resolve_parts() -> dict[str, str]:
    """The parts that are on the package index, by name: torch and CUDA libraries, without Triton.

    The locks that use a part have torch's other requirements. Raises SpeedtestError.
    """
    found = {}
    for name, requirement in _PARTS.items():
        kept = [
            package.text
            for package in packages(_compile([requirement], python=LOWEST_PYTHON))
            if package.name == "torch" or package.name.startswith("nvidia-")
        ]
        found[name] = "".join(kept)
    return found


def read_lock(recipe: Recipe, version: str) -> Lock | None:
    """The lock of ``recipe`` at ``version``: the shipped one, else the user's, else ``None``."""
    file = f"{recipe.name}@{version}.txt"
    shipped = _shipped_folder().joinpath(file)
    if shipped.is_file():
        return Lock(recipe.name, version, shipped.read_text(encoding="utf-8"), shipped=True)
    own = user_folder() / file
    if own.is_file():
        return Lock(recipe.name, version, own.read_text(encoding="utf-8"))
    return None


def versions(recipe: Recipe) -> list[str]:
    """Every version with a lock, the oldest first."""
    from packaging.version import Version

    start = f"{recipe.name}@"
    names = [item.name for item in _shipped_folder().iterdir()]
    if user_folder().is_dir():
        names += [item.name for item in user_folder().iterdir()]
    found = {
        name.removeprefix(start).removesuffix(".txt")
        for name in names
        if name.startswith(start) and name.endswith(".txt")
    }
    return sorted(found, key=Version)


def default_version(recipe: Recipe) -> str:
    """The version of a backend named without one.

    It is the shipped one, unless ``upgrade`` selected a newer one and its lock still exists.
    """
    from packaging.version import InvalidVersion, Version

    chosen = _defaults().get(recipe.name, "")
    try:
        newer = Version(chosen) > Version(recipe.version)
    except InvalidVersion:
        return recipe.version
    return chosen if newer and read_lock(recipe, chosen) else recipe.version


def set_default(recipe: Recipe, version: str) -> None:
    """Make ``version`` the default from now on. Raises StorageError."""
    defaults = _defaults() | {recipe.name: version}
    text = json.dumps(defaults, indent=2, sort_keys=True) + "\n"
    files.write_bytes(_defaults_file(), text.encode())


def resolve(recipe: Recipe, version: str = "", *, python: str = LOWEST_PYTHON) -> Lock:
    """Create a lock by querying the package index; it is not saved.

    Args:
        recipe: what to lock.
        version: of its distribution; empty for the newest.
        python: the oldest Python that the lock supports, such as ``3.11``.

    Raises:
        SpeedtestError: uv found no solution, or could not reach the index.
    """
    pin = f"=={version}" if version else ""
    lines = [f"{recipe.distribution}{pin}", *recipe.requirements, *_undeclared(recipe, version)]
    text = _compile(lines, recipe.overrides, python=python)
    version = _version_in(text, recipe, python)
    if recipe.build:
        text = _with_source_only(recipe, version, text)
    return Lock(recipe.name, version, text)


def _undeclared(recipe: Recipe, version: str) -> list[str]:
    """What that version of the distribution needs besides its requirements; of the newest: none."""
    from packaging.version import Version

    return [
        each
        for first, needed in recipe.undeclared.items()
        if version and Version(version) < Version(first)
        for each in needed
    ]


def _compile(lines: Sequence[str], overrides: Sequence[str] = (), *, python: str) -> str:
    with tempfile.TemporaryDirectory(prefix="speedtest-lock-") as temporary:
        requested, overriding, lock = (
            Path(temporary, name) for name in ("requested.in", "overrides.in", "lock.txt")
        )
        requested.write_text("\n".join(lines) + "\n", encoding="utf-8")
        overriding.write_text("\n".join(overrides) + "\n", encoding="utf-8")
        uv.call(
            *["pip", "compile", str(requested), "--universal", "--python-version", python],
            *["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"],
            *["--override", str(overriding), "--output-file", str(lock)],
            environment=uv.for_locking() | _OLDEST_MACOS,
        )
        return lock.read_text(encoding="utf-8")


def is_built(recipe: Recipe, package: Package) -> bool:
    """Whether ``recipe`` builds ``package`` from its source."""
    from packaging.utils import canonicalize_name

    return bool(recipe.build) and package.name == canonicalize_name(recipe.distribution)


def _with_source_only(recipe: Recipe, version: str, text: str) -> str:
    """The lock ``text`` with only the source's hash for the distribution to build."""
    with tempfile.TemporaryDirectory(prefix="speedtest-lock-") as temporary:
        requested, lock = Path(temporary, "source.in"), Path(temporary, "pylock.toml")
        requested.write_text(f"{recipe.distribution}=={version}\n", encoding="utf-8")
        # uv's list of hashes does not mark the source's; its other format does.
        uv.call(
            *["pip", "compile", str(requested), "--no-deps", "--no-binary", recipe.distribution],
            *["--universal", "--python-version", LOWEST_PYTHON, "--format", "pylock.toml"],
            *["--output-file", str(lock)],
            environment=uv.for_locking(),
        )
        (found,) = tomllib.loads(lock.read_text(encoding="utf-8"))["packages"]
    try:
        digest = found["sdist"]["hashes"]["sha256"]
    except KeyError as error:
        raise SpeedtestError(
            f"the package index has no source of {recipe.distribution} {version}",
            hint=f"speedtest backends install {recipe.name}",
        ) from error
    return "".join(
        f"{recipe.distribution}=={version} \\\n    --hash=sha256:{digest}\n"
        if is_built(recipe, package)
        else package.text
        for package in packages(text)
    )


def _version_in(text: str, recipe: Recipe, python: str) -> str:
    from packaging.utils import canonicalize_name

    name = canonicalize_name(recipe.distribution)
    for package in applicable(text, f"{python}.0"):
        if package.name == name:
            return package.version
    raise SpeedtestError(
        f"{recipe.distribution} does not support this machine: its lock has it only for others",
        hint=f"speedtest backends info {recipe.name}",
    )


def save(lock: Lock) -> Path:
    """Save a lock in the user's folder, and return its path. Raises StorageError."""
    path = user_folder() / f"{lock.recipe}@{lock.version}.txt"
    files.write_bytes(path, lock.text.encode())
    return path


def ensure(recipe: Recipe, version: str, *, python: str, notify: Callable[[str], None]) -> Lock:
    """The lock of ``recipe`` at ``version``; a missing one is created and saved.

    Raises:
        UsageError: no such version is available.
    """
    if lock := read_lock(recipe, version):
        return lock
    notify(f"no lock for {recipe.name} {version} yet: resolving its requirements")
    try:
        lock = resolve(recipe, version, python=python)
    except SpeedtestError as error:
        have = ", ".join(versions(recipe))
        raise UsageError(
            f"{recipe.distribution} {version} cannot be locked: {error.message}",
            hint=f"versions of {recipe.name} with a lock: {have}",
        ) from error
    save(lock)
    notify(f"locked {len(packages(lock.text))} packages for {recipe.name} {version}")
    return lock


def shipped_file(recipe: Recipe, version: str) -> Path:
    """The path of a shipped lock, whether or not it exists."""
    return Path(str(_shipped_folder().joinpath(f"{recipe.name}@{version}.txt")))


def shipped_versions(recipe: Recipe) -> list[str]:
    """The versions with a shipped lock, and the recipe's version, which should have one."""
    shipped = [each for each in versions(recipe) if shipped_file(recipe, each).is_file()]
    return shipped if recipe.version in shipped else [*shipped, recipe.version]


def delete_user_lock(recipe: Recipe, version: str) -> bool:
    """Delete the user's lock of that version; return whether there was one."""
    try:
        (user_folder() / f"{recipe.name}@{version}.txt").unlink()
    except FileNotFoundError:
        return False
    return True


def user_folder() -> Path:
    """The folder of the user's locks."""
    return paths.data_dir() / "locks"


def _shipped_folder() -> resources.abc.Traversable:
    return resources.files("mac_whisper_speedtest.backends").joinpath("locks")


def _defaults_file() -> Path:
    return user_folder() / "current.json"


def _defaults() -> dict[str, str]:
    """The default versions that ``upgrade`` set, by recipe; empty if the file is damaged."""
    try:
        return files.decode_json(_defaults_file().read_bytes(), dict[str, str])
    except (OSError, ValueError):
        return {}
