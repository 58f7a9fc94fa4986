"""What ``speedtest backends list`` and ``info`` show of a backend: for people and as JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest.backends.recipe import APPLE_SILICON, SwiftRecipe, unsuited
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.paths import with_tilde

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.backend import Backend
    from mac_whisper_speedtest.backends.recipe import AnyRecipe
    from mac_whisper_speedtest.environments.installations import Installation


def facts(backend: Backend) -> dict[str, Any]:
    """Everything about a backend that is known without starting it, by the keys of the JSON."""
    from mac_whisper_speedtest.environments import installations
    from mac_whisper_speedtest.worker import launch

    recipe = backend.recipe
    here = installations.of_recipe(recipe) if recipe else []
    found: dict[str, Any] = {
        "name": backend.name,
        "what": backend.summary,
        "runs_from": "not installed",
        "version": "",
        "path": "",
        "installed": [_installed(each) for each in here],
        "devices": list(backend.devices),
        "precisions": list(backend.precisions),
        "auto_precision": backend.auto_precision,
        "weights": backend.weights_format,
        "source": backend.source,
    }
    if backend.broken:
        found |= {"runs_from": "broken", "broken": backend.broken}
    elif backend.command or backend.python or launch.runs_in_place(backend):
        found |= {
            "runs_from": "beside the tool",
            "version": launch.installed_version(recipe) if recipe else "",
            "path": with_tilde(Path(backend.python or sys.executable)),
        }
    elif recipe is not None:
        version = launch.requested_version(backend, recipe)
        found["version"] = version
        if made := installations.find(recipe, version):
            own = "built here" if isinstance(recipe, SwiftRecipe) else "own environment"
            found |= {"runs_from": own, "path": with_tilde(made.path)}
        elif why := unsuited(recipe):
            found["runs_from"] = why
    if recipe is not None:
        found |= _recipe_facts(recipe)
    return {**found, "differences": list(backend.remarks), "notes": _notes(backend)}


def _notes(backend: Backend) -> list[str]:
    return [*(backend.recipe.notes if backend.recipe else ()), *backend.notes]


def where(recipe: AnyRecipe) -> str:
    """Where an install put it, after "is installed"."""
    return "as a program" if isinstance(recipe, SwiftRecipe) else "in its own environment"


def absent(recipe: AnyRecipe) -> str:
    """The text for a backend that is not installed."""
    if isinstance(recipe, SwiftRecipe):
        return "it has not been built here"
    return "there is no environment of it"


def _recipe_facts(recipe: AnyRecipe) -> dict[str, Any]:
    from mac_whisper_speedtest.environments import locks, uv

    needs = [f"macOS {recipe.macos} or newer"] if APPLE_SILICON in recipe.platforms else []
    common = {
        "platforms": list(recipe.platforms),
        "works_on_this_platform": not unsuited(recipe),
    }
    if isinstance(recipe, SwiftRecipe):
        needs = [f"Swift {recipe.swift} or newer", *needs]
        if recipe.sdk:
            needs.append(f"the SDK of macOS {recipe.sdk} or newer")
        return {
            "default": recipe.version,
            "needs": needs,
            "pins": [f"{name} {commit}" for name, commit in recipe.revisions.items()],
            "size_bytes": recipe.size_bytes,
            "build_bytes": recipe.build_bytes,
            **common,
        }
    on_linux = any(each.startswith("linux") for each in recipe.platforms)
    return {
        "locked": locks.versions(recipe),
        "default": locks.default_version(recipe),
        "python": recipe.python,
        "needs": [*needs, f"glibc {recipe.glibc} or newer"] if on_linux else needs,
        "size_bytes": recipe.bytes_here(),
        "this_python_fits": uv.this_python_fits(recipe),
        **common,
    }


def _installed(made: Installation) -> dict[str, Any]:
    from mac_whisper_speedtest.environments.bridges import Bridge

    common = {
        "version": made.version,
        "size_bytes": made.size_bytes,
        "path": with_tilde(made.path),
    }
    if isinstance(made, Bridge):
        return {**common, "swift": made.swift, "packages": dict(made.revisions)}
    return {**common, "python": made.python, "torch": made.torch}


def lines(value: Any) -> list[str]:
    """One fact as lines of text."""
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if isinstance(value, int):
        return [megabytes(value)]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [line for each in value for line in _installed_lines(each)]
    if isinstance(value, list):
        text = [str(each) for each in value]
        return text if any(" " in each for each in text) else [", ".join(text) or "-"]
    return [str(value) or "-"]


def _installed_lines(made: dict[str, Any]) -> list[str]:
    built = f"Swift {made['swift']}" if "swift" in made else f"Python {made['python']}"
    build = f", build {made['torch']}" if made.get("torch") else ""
    first = f"{made['version']} ({built}, {megabytes(made['size_bytes'])}{build}) {made['path']}"
    packages = made.get("packages", {})
    return [first, *(f"with {name} {version}" for name, version in packages.items())]
