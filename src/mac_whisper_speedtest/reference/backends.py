"""Backends: what each needs, computes on and decodes with; contracts; descriptions of programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.backend import Backend, BackendModel
from mac_whisper_speedtest.backends.contract import (
    CONTRACTS,
    DecodeContract,
    SettingValue,
    deviations,
)
from mac_whisper_speedtest.backends.recipe import APPLE_SILICON, Recipe, SwiftRecipe
from mac_whisper_speedtest.catalog import Timeouts
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.reference.markdown import (
    NOTHING,
    attributes,
    code,
    codes,
    link,
    page,
    table,
)
from mac_whisper_speedtest.results.cells import setting_text

_DISTRIBUTION = "mac-whisper-speedtest"
_PLATFORMS = {APPLE_SILICON: "Apple silicon", "linux": "Linux", "linux-x86_64": "Linux on x86-64"}


def built_in() -> dict[str, Backend]:
    """The backends of this distribution, by name."""
    found = registry.installed()
    return {name: each for name, each in found.items() if each.source == _DISTRIBUTION}


def backends() -> str:
    """Backends: devices, precisions, weights, platforms, deviations, known differences."""
    found = built_in().values()
    names = dict.fromkeys(registry.ALIASES.values())
    return page(
        "Reference: backends",
        "`speedtest backends list` shows which of them are on this machine, "
        "`speedtest backends info NAME` all that is known of one. "
        f"{codes(registry.ALIASES)} are other names of {codes(names)}. What has been run where, "
        "and how environments and builds are made: [backends.md](../explanation/backends.md).",
        table(
            ("backend", "devices", "computes in, on `auto`", "other precisions", "weights"),
            map(_computing, found),
        ),
        "`--device gpu` is this machine's GPU in whatever a backend calls it; on a Mac so are "
        "`metal` and `mps`. [Weights formats](models.md#formats) are with the models.",
        "## Installation",
        "A size is that of the environment: on Linux with the CPU build of torch, where that can "
        "be had. Where the package index has wheels is in [locks.md](locks.md).",
        table(
            ("backend", "library and version", "for", "needs", "on Linux", "on a Mac"),
            map(_installation, found),
        ),
        "## Contracts",
        "What every backend is asked for with `--contract`; an empty setting is left to the "
        "library. Only backends that did the same work are ranked against each other. What a "
        "backend really did is read back from its library where possible, and is in the results.",
        table(("setting", *CONTRACTS, "meaning"), _settings()),
        "## Deviations",
        "Where a backend is expected to do other work than `greedy` asks for, and what its "
        "library does when left alone (`as-shipped`). “–” is unknown or not a setting of it; as a "
        "language of a Whisper, detected.",
        table(("backend", "under `greedy`", "`beam5`", "`as-shipped`"), map(_deviations, found)),
        "## Known differences",
        "*Reported*: what results say although no setting expresses it.",
        *(part for each in found for part in _differences(each)),
    )


def _computing(backend: Backend) -> list[str]:
    others = [each for each in backend.precisions if each not in backend.auto_precision]
    networks = f" ({', '.join(backend.networks[:2])}{', …' * (len(backend.networks) > 2)})"
    return [
        link(f"`{backend.name}`", backend.name),
        ", ".join(backend.devices) or "chosen by macOS",
        backend.auto_precision,
        ", ".join(others) or ("by its weights" if backend.weights_follow_precision else NOTHING),
        code(backend.weights_format) + networks * bool(backend.networks),
    ]


def _installation(backend: Backend) -> list[str]:
    recipe = backend.recipe
    assert recipe is not None, "every built-in backend has one"
    platforms = ", ".join(_PLATFORMS[each] for each in recipe.platforms)
    needs = [f"macOS {recipe.macos}"]
    if isinstance(recipe, SwiftRecipe):
        needs.append(f"Swift {recipe.swift}")
        library, size = recipe.name, {APPLE_SILICON: recipe.size_bytes}
    else:
        needs += [f"glibc {recipe.glibc}"] * (recipe.platforms != (APPLE_SILICON,))
        needs.append(f"Python {recipe.python.removeprefix('>=')}")
        library, size = recipe.distribution, _sizes(recipe)
    return [
        code(backend.name),
        f"{library} {recipe.version}",
        platforms,
        ", ".join(needs),
        megabytes(size["linux"]) if "linux" in size else NOTHING,
        megabytes(size[APPLE_SILICON]),
    ]


def _sizes(recipe: Recipe) -> dict[str, int]:
    on_mac = recipe.size_on.get(APPLE_SILICON, recipe.size_bytes)
    others = any(each.startswith("linux") for each in recipe.platforms)
    return {APPLE_SILICON: on_mac, **({"linux": recipe.size_bytes} if others else {})}


def _settings() -> Iterator[list[str]]:
    meanings = attributes(DecodeContract)
    for name in DecodeContract().settings():
        values = [each.settings()[name] for each in CONTRACTS.values()]
        yield [code(name), *(_value(each, "") for each in values), meanings[name]]


def _value(value: SettingValue, unknown: str = NOTHING) -> str:
    if isinstance(value, list):
        return ", ".join(f"{each:g}" for each in value)
    return setting_text(value, unknown) if value is not None else unknown


def _deviations(backend: Backend) -> list[str]:
    greedy = CONTRACTS["greedy"]
    beams = backend.refuses(CONTRACTS["beam5"])
    shipped = backend.decodes_with(CONTRACTS["as-shipped"])
    own = {
        each.setting: each.effective for each in deviations(greedy, backend.decodes_with(greedy))
    }
    alone = {each.setting: each.effective for each in deviations(greedy, shipped)}
    more = {name: value for name, value in alone.items() if own.get(name, greedy) != value}
    return [code(backend.name), _list(own), "refused" if beams else "yes", _list(more)]


def _list(values: Mapping[str, SettingValue]) -> str:
    return "; ".join(f"{name}: {_value(value)}" for name, value in values.items()) or "as asked"


def _differences(backend: Backend) -> Iterator[str]:
    yield f"### {backend.name}"
    yield f"{backend.summary}."
    made = backend.recipe.notes if backend.recipe is not None else ()
    notes = (*(f"{each}." for each in made), *backend.notes)
    reported = (f"*Reported*: {each}." for each in backend.remarks)
    yield "\n".join(f"- {each}" for each in (*reported, *notes))


def descriptions() -> str:
    """Keys of a TOML file that describes a program or an adapter, and of ``Backend`` in Python."""
    meanings = attributes(Backend)
    return page(
        "Reference: descriptions of backends",
        "`speedtest run -b ./engine.toml` measures what the file describes: a program that speaks "
        "the [protocol](protocol.md), or an adapter class in Python. A distribution can declare "
        "the same as a `Backend` at an entry point of the group "
        f"`{registry.GROUP}`.",
        "## `[backend]`",
        "`name` and exactly one of `command` and `adapter` are required. Paths are relative to "
        "the file.",
        table(("key", "meaning"), ([code(key), meanings[key]] for key in registry.TOML_KEYS)),
        '## `[backend.models."NAME"]`',
        "What is stated about one model, by its canonical name; a text alone is its `path`. What "
        "is left out comes from the catalog.",
        table(("key", "meaning"), _attributes(BackendModel)),
        "`timeouts` is a table of:",
        table(("key", "meaning"), _attributes(Timeouts)),
        "## `Backend` in Python",
        "The keys of `[backend]`, and:",
        table(
            ("field", "meaning"),
            (row for row in _attributes(Backend) if row[0].strip("`") not in registry.TOML_KEYS),
        ),
    )


def _attributes(owner: type) -> Iterator[list[str]]:
    for name, meaning in attributes(owner).items():
        yield [code(name), meaning]
