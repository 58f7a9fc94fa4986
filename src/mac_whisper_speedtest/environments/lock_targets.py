"""The targets on which each lock can be installed, compared with the recipes' claims.

``benchmarks/locks.py`` queries the package index for every shipped lock on every target and writes
the answers beside the recipes; docs/reference/locks.md is generated from them.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mac_whisper_speedtest import files
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.recipe import Recipe, unsuited
from mac_whisper_speedtest.environments import builds, locks, uv
from mac_whisper_speedtest.errors import SpeedtestError

PYTHONS = ("3.11", "3.12", "3.13", "3.14")

_ARCHITECTURES = {"arm64": "aarch64"}
_NO_WHEEL = re.compile(r"Because (\S+==\S+) has no (?:usable )?wheels")
_AT_ONCE = 4
"""Calls of uv, which mostly wait for the network."""


class LockTarget(NamedTuple):
    """A platform, and the release of macOS or of glibc there."""

    platform: str
    release: str

    def __str__(self) -> str:
        """Its key in the record."""
        return f"{self.platform} {self.release}"

    @property
    def uv_platform(self) -> str:
        """The platform's name in uv."""
        system, _, machine = self.platform.partition("-")
        machine = _ARCHITECTURES.get(machine, machine)
        if system == "darwin":
            return f"{machine}-apple-darwin"
        return f"{machine}-manylinux_{self.release.replace('.', '_')}"


TARGETS = (
    *(LockTarget("darwin-arm64", each) for each in ("14", "15", "26")),
    LockTarget("darwin-x86_64", "14"),
    *(LockTarget("linux-x86_64", each) for each in ("2.28", "2.34", "2.35", "2.39")),
    *(LockTarget("linux-aarch64", each) for each in ("2.28", "2.34", "2.35", "2.39")),
)

Lacking = dict[str, str]
"""Python → the package without a wheel for it; complete Pythons are not in it."""
Record = dict[str, dict[str, Lacking]]
"""Lock → target → what is lacking there; complete targets are not in it."""


def shipped_locks() -> Iterator[tuple[Recipe, str, str]]:
    """The recipe, the name and the text of every lock that ships."""
    recipes = {
        backend.recipe.name: backend.recipe
        for backend in registry.installed().values()
        if isinstance(backend.recipe, Recipe)
    }
    for recipe in recipes.values():
        for version in locks.shipped_versions(recipe):
            path = locks.shipped_file(recipe, version)
            yield recipe, path.stem, path.read_text(encoding="utf-8")


def shipped_parts() -> Iterator[tuple[Recipe, str, str]]:
    """The same for the CUDA 12 parts of locks, as if each had its own recipe.

    Their packages apply only there, so the table has no line for other targets.
    """
    for name, python in ((locks.CUBLAS, ""), (locks.TORCH_CUDA12, builds.CUDA12_PYTHON)):
        recipe = Recipe(name, "", "", python=python, platforms=("linux-x86_64",))
        yield recipe, name, locks.shipped_part(name)


def lacking(recipe: Recipe, text: str, target: LockTarget, python: str) -> str:
    """The package of a lock without a wheel for ``target``, found by uv; empty if all have one.

    Raises:
        SpeedtestError: uv failed for another reason, such as no network.
    """
    wheels = "".join(each.text for each in locks.packages(text) if not _from_source(recipe, each))
    with tempfile.TemporaryDirectory(prefix="speedtest-lock-") as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(wheels, encoding="utf-8")
        try:
            uv.call(
                *["pip", "install", "--dry-run", "--target", f"{folder}/target"],
                *["--python-platform", target.uv_platform, "--python-version", python],
                *["--no-deps", "--require-hashes", "--only-binary", ":all:"],
                *["--requirement", str(requirements)],
                environment=uv.for_locking() | {"MACOSX_DEPLOYMENT_TARGET": target.release},
            )
        except SpeedtestError as error:
            if package := package_without_wheel(error.message):
                return package
            raise
    return ""


def _from_source(recipe: Recipe, package: locks.Package) -> bool:
    own = package.name == canonicalize_name(recipe.distribution)
    return own and (recipe.source_only or bool(recipe.build))


def package_without_wheel(message: str) -> str:
    """The package without a wheel, from uv's error message; empty for another error."""
    found = _NO_WHEEL.search(message)
    return found[1] if found else ""


def claims(recipe: Recipe, target: LockTarget, python: str) -> bool:
    """Whether ``recipe`` claims to work there."""
    fits = SpecifierSet(recipe.python).contains(f"{python}.0")
    return fits and not unsuited(recipe, target.platform, target.release)


def excessive(recipe: Recipe, lock: str, found: Mapping[str, Lacking]) -> list[str]:
    """The claims of ``recipe`` that its lock does not fulfill, one line per target."""
    problems = []
    for target in TARGETS:
        missing = found.get(str(target), {})
        claimed = [python for python in missing if claims(recipe, target, python)]
        if claimed:
            packages = ", ".join(dict.fromkeys(missing[python] for python in claimed))
            problems.append(
                f"{recipe.name} claims {target} with Python {', '.join(claimed)}, but {lock} "
                f"cannot be installed there: {packages} has no wheel"
            )
    return problems


def ask(recipe: Recipe, text: str) -> dict[str, Lacking]:
    """The missing wheels of a lock, by target. Raises SpeedtestError as `lacking`."""
    every = [(target, python) for target in TARGETS for python in PYTHONS]
    uv.program()  # fills the cache of sysconfig, which is not safe to fill in two threads at once
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = pool.map(lambda each: lacking(recipe, text, *each), every)
        found: dict[str, Lacking] = {}
        for (target, python), package in zip(every, answers, strict=True):
            if package:
                found.setdefault(str(target), {})[python] = package
    return found


def record_path() -> Path:
    """The file with the answers."""
    folder = resources.files("mac_whisper_speedtest.backends")
    return Path(str(folder.joinpath("lock_targets.json")))


def read_record() -> Record:
    """The stored answers. Raises ValueError and OSError."""
    return files.decode_json(record_path().read_bytes(), Record)


def write_record(found: Record) -> None:
    """Write the answers. Raises StorageError."""
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    files.write_bytes(record_path(), text.encode())
