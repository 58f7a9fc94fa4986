"""Installations of a recipe; the only module that handles both kinds of recipes.

A `Recipe` gives a Python environment (`environments`), a `SwiftRecipe` a program (`swift`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mac_whisper_speedtest.backends import recipe as recipes
from mac_whisper_speedtest.backends.recipe import AnyRecipe, SwiftRecipe
from mac_whisper_speedtest.environments import (
    bridges,
    environments,
    locks,
    source_build,
    store,
    swift,
    toolchain,
    uv,
)
from mac_whisper_speedtest.environments.bridges import Bridge
from mac_whisper_speedtest.environments.environments import Environment
from mac_whisper_speedtest.errors import UsageError

Installation = Environment | Bridge


def of_recipe(recipe: AnyRecipe) -> Sequence[Installation]:
    """All installations of ``recipe``, of any version, the newest last."""
    if isinstance(recipe, SwiftRecipe):
        return bridges.of_recipe(recipe)
    return environments.of_recipe(recipe)


def find(recipe: AnyRecipe, version: str) -> Installation | None:
    """The installation of ``recipe`` at ``version``, or ``None``."""
    if isinstance(recipe, SwiftRecipe):
        return bridges.find(recipe, version)
    return environments.find(recipe, version)


def program(recipe: AnyRecipe, version: str) -> str | None:
    """The program of the installation that `find` returns: a Python, or a bridge."""
    if isinstance(recipe, SwiftRecipe):
        bridge = bridges.find(recipe, version)
        return bridge.executable if bridge else None
    return environments.python_of(recipe, version)


def default_version(recipe: AnyRecipe) -> str:
    """The version to use if none is requested."""
    return recipe.version if isinstance(recipe, SwiftRecipe) else locks.default_version(recipe)


def versions(recipe: AnyRecipe) -> list[str]:
    """The versions that can be installed without a query, the oldest first."""
    return [recipe.version] if isinstance(recipe, SwiftRecipe) else locks.versions(recipe)


def check_tools(recipe: AnyRecipe) -> None:
    """Raise UsageError if no Python fits ``recipe``, or if the tools to build it are missing."""
    if isinstance(recipe, SwiftRecipe):
        toolchain.check(recipe)
        return
    uv.choose_python(recipe)
    if recipe.build:
        source_build.compiler(recipe)


def needed_bytes(recipe: AnyRecipe, build: str) -> int:
    """The disk space in bytes that ``install`` needs with these arguments.

    Raises:
        UsageError: no Python here fits it.
    """
    if isinstance(recipe, SwiftRecipe):
        return recipe.build_bytes
    chosen = environments.choose_build(recipe, build, uv.choose_python(recipe))
    return recipe.bytes_here(chosen.name)


def check_platform(recipe: AnyRecipe) -> None:
    """Raise UsageError if ``recipe`` does not work on this system and its release."""
    if why := recipes.unsuited(recipe):
        raise UsageError(
            f"{recipe.name}: {why} (this is {recipes.this_system()})",
            hint="speedtest backends list shows the backends for this machine",
        )


def install(
    recipe: AnyRecipe,
    version: str = "",
    *,
    greet: swift.Greet,
    notify: Callable[[str], None],
    build: str = "auto",
    progress: Callable[[str], None] = lambda _line: None,
    visible: bool = False,
) -> Installation:
    """Install ``recipe`` at ``version``, or return an existing installation.

    Raises:
        UsageError: it does not work on this platform; see also the two kinds.
    """
    check_platform(recipe)
    if isinstance(recipe, SwiftRecipe):
        return swift.install(recipe, version, greet=greet, notify=notify, progress=progress)
    return environments.install(
        recipe, version, build=build, notify=notify, visible=visible, progress=progress
    )


def remove(installation: Installation) -> int:
    """Delete the installation, and return the number of freed bytes. Raises StorageError."""
    return store.remove(installation.path)


def remove_unfinished(recipe: AnyRecipe) -> int:
    """Delete the files that unfinished installs keep to continue; return their size in bytes."""
    return swift.delete_unfinished(recipe) if isinstance(recipe, SwiftRecipe) else 0
