"""Built bridges, and their sources.

A bridge is a program in Swift that speaks the worker protocol. Its path is
``bridges/NAME@VERSION-HASH`` in the cache folder; `swift` builds it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from mac_whisper_speedtest import paths
from mac_whisper_speedtest.backends.recipe import SwiftRecipe
from mac_whisper_speedtest.environments import store
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.paths import with_tilde


@dataclass(frozen=True, slots=True)
class Bridge:
    """A built bridge, as its ``environment.json`` describes it.

    Attributes:
        recipe: the recipe's name.
        version: of the library that it measures.
        key: SHA-256 over everything that changes the program.
        sources_sha256: of its sources and pins only.
        product: the executable.
        swift: the version of the compiler.
        compiler: what ``swift --version`` printed.
        platform: on which it was built.
        revisions: package identity → version and commit.
        tool: the version of this tool that built it.
        created: UTC, as ISO 8601.
        size_bytes: of all its files.
        path: its folder.
    """

    recipe: str
    version: str
    key: str
    sources_sha256: str
    product: str
    swift: str
    compiler: str
    platform: str
    revisions: Mapping[str, str]
    tool: str
    created: str
    size_bytes: int
    path: Path

    @property
    def executable(self) -> str:
        """Path of the program."""
        return str(self.path / "bin" / self.product)


def root() -> Path:
    """The folder of all bridges."""
    return paths.cache_dir() / "bridges"


def read_bridge(path: Path) -> Bridge | None:
    """The bridge in the folder ``path``, or ``None`` if it is not complete."""
    fields = store.read_marker(path)
    try:
        bridge = Bridge(**fields, path=path) if fields else None
    except TypeError:
        return None
    return bridge if bridge and Path(bridge.executable).is_file() else None


def of_recipe(recipe: SwiftRecipe) -> list[Bridge]:
    """Every built bridge of ``recipe``, of any version and compiler, the newest last."""
    found = [read_bridge(path) for path in root().glob(f"{recipe.name}@*")]
    return sorted((each for each in found if each), key=lambda each: each.created)


def find(recipe: SwiftRecipe, version: str = "") -> Bridge | None:
    """The newest bridge of ``recipe`` that was built from the sources of this release.

    The compiler does not matter: an update of Xcode does not make a program unusable.
    """
    if version not in {"", recipe.version}:
        return None
    here = of_recipe(recipe)
    if not here:
        return None
    digest = sources_sha256(recipe)
    return next((each for each in reversed(here) if each.sources_sha256 == digest), None)


def revisions_of(program: str) -> Mapping[str, str]:
    """The packages that ``program`` was built with, if it is a bridge: version and commit."""
    home = Path(program).parent.parent
    bridge = read_bridge(home) if home.parent == root() else None
    return bridge.revisions if bridge else {}


# The sources.


def sources() -> Path:
    """The folder with the packages of all bridges.

    A wheel has them inside the package, a checkout in its top folder (pyproject.toml maps them).

    Raises:
        StorageError: they are in neither place.
    """
    packaged = Path(str(resources.files("mac_whisper_speedtest"))) / "bridges" / "swift"
    checkout = Path(__file__).resolve().parents[3] / "bridges" / "swift"
    for folder in (packaged, checkout):
        if folder.is_dir():
            return folder
    raise StorageError(
        f"the sources of the bridges are missing: {with_tilde(packaged)}",
        hint="reinstall the tool from a complete wheel",
    )


def sources_sha256(recipe: SwiftRecipe) -> str:
    """SHA-256 over the sources, manifests and pins of a bridge."""
    digest = hashlib.sha256(json.dumps([recipe.product, sorted(recipe.revisions.items())]).encode())
    top = sources()
    for file in source_files(recipe, top):
        content = file.read_bytes()
        name = file.relative_to(top).as_posix().encode()
        digest.update(b"%d %s %d\0" % (len(name), name, len(content)) + content)
    return digest.hexdigest()


def source_files(recipe: SwiftRecipe, top: Path) -> Iterator[Path]:
    """The files in ``top`` that a bridge is built from, in a fixed order.

    Raises:
        StorageError: a package is missing.
    """
    for folder in sorted({recipe.package, *recipe.needs}):
        if not (top / folder / "Package.swift").is_file():
            raise StorageError(
                f"{with_tilde(top / folder)} has no Package.swift",
                hint="reinstall the tool from a complete wheel",
            )
        yield from (
            file
            for file in sorted((top / folder).rglob("*"))
            if file.is_file() and not _left_out(file.relative_to(top))
        )


def _left_out(file: Path) -> bool:
    return file.name == "Package.resolved" or any(part.startswith(".") for part in file.parts)
