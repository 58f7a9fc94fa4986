"""All local copies of a model, in any weights format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.declared import Word
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.weights import hub_cache, snapshot, trash
from mac_whisper_speedtest.weights.check import (
    CacheCheck,
    WeightsCheck,
    chosen_copy,
    with_checksums,
)
from mac_whisper_speedtest.weights.expected import CacheLocation
from mac_whisper_speedtest.weights.inspect import (
    STATE_PRIORITY,
    CachedCopy,
    WeightsState,
    inspect_copy,
)
from mac_whisper_speedtest.weights.locations import (
    conversion,
    custom_pulled,
    hosted_locations,
    locations_of,
)
from mac_whisper_speedtest.weights.revisions import custom_listings

_ANY = "float16"


@dataclass(frozen=True, slots=True)
class InstalledWeights:
    """One copy.

    Attributes:
        name: the canonical name, or the repository at its commit.
        format: of the weights; empty where it is not known.
        precision: of the stored values; empty if unknown.
        copy: where it is, and its state by names and sizes.
    """

    name: str
    format: str
    precision: str
    copy: CachedCopy


def installed_weights(model: str) -> list[InstalledWeights]:
    """All local copies of a model, complete or not, official ones first."""
    found: dict[tuple[object, ...], InstalledWeights] = {}
    for kind in catalog.formats_of(catalog.model(model)).values():
        for precision in precisions(model, kind):
            for reader in kind.loaded_by:
                info = catalog.model_info(model, kind.name, precision, backend=reader)
                beside = hosted_locations(info.completed_by) if info.completed_by else []
                for location in [*locations_of(info), *beside]:
                    # Two backends may share a folder, and two precisions a published file.
                    key = (location.folder, tuple(file.names for file in location.expected))
                    stored = _precision(location, info)
                    found.setdefault(
                        key,
                        InstalledWeights(model, kind.name, stored, inspect_copy(location)),
                    )
    return [each for each in found.values() if each.copy.state is not WeightsState.ABSENT]


def installed_custom(custom: catalog.Custom) -> list[InstalledWeights]:
    """The local files of a repository at a commit, and their conversions."""
    found = [InstalledWeights(str(custom), "", "", custom_copy(custom))]
    folder = hub_cache.root() / custom.folder
    for path in trash.children(folder):
        meant = hub_cache.parse(path.name)
        if meant is not None:
            copy = inspect_copy(conversion(path, meant.format))
            found.append(InstalledWeights(str(custom), meant.format, meant.precision, copy))
    return [each for each in found if each.copy.state is not WeightsState.ABSENT]


def all_installed() -> list[InstalledWeights]:
    """All copies of all models, and of every repository that was pulled by its commit."""
    found = [each for model in catalog.models() for each in installed_weights(model)]
    for record in custom_listings():
        found += installed_custom(catalog.Custom(record.repository, record.revision))
    return found


def custom_copy(custom: catalog.Custom) -> CachedCopy:
    """The cached files, of those that a pull fetches from a repository."""
    return inspect_copy(custom_pulled(custom, snapshot.resolve_custom(custom)))


def official(model: str) -> WeightsCheck:
    """State of the official weights of a model, by names and sizes."""
    row = catalog.official_weights(model)
    return CacheCheck().check(catalog.model_info(model, row.format, row.precision))


def for_backend(model: str, weights_format: str, precision: str = "") -> WeightsCheck:
    """The copy that a backend of that format would load, and its state.

    Args:
        model: a canonical name, or a repository at its commit.
        weights_format: of the weights.
        precision: of the stored values; empty for the first complete copy, in the catalog's order.

    Raises:
        UsageError: no such format of that model, or it is not stored in that precision.
    """
    kind = catalog.require_format(catalog.model(model), weights_format)
    known = precisions(model, kind)
    if precision and precision not in known:
        raise UsageError(
            f"{weights_format} weights of {model} are not stored in {precision!r}",
            hint=f"use {' or '.join(known)}",
        )
    cache = CacheCheck()
    checks = [
        _exact(cache.check(catalog.model_info(model, weights_format, each, backend=reader)))
        for each in ([precision] if precision else known)
        for reader in kind.loaded_by
    ]
    return min(checks, key=lambda check: STATE_PRIORITY.index(check.state))


def _exact(check: WeightsCheck) -> WeightsCheck:
    """``check`` without the copies in other precisions than the requested one."""
    info = check.info
    of_it = [copy for copy in check.copies if info.precision == _precision(copy.location, info)]
    if len(of_it) == len(check.copies):
        return check
    chosen = chosen_copy(of_it)
    state = chosen.state if chosen else WeightsState.ABSENT
    return replace(check, state=state, copies=tuple(of_it), chosen=chosen)


def precisions(model: str, kind: catalog.WeightsFormat) -> list[str]:
    """The precisions of a model's weights in that format, converted or published."""
    published = [
        row.precision
        for row in catalog.hosted_by_model().get(model, ())
        if row.format == kind.name and not row.unavailable
    ]
    # Files published outside the catalog may be stored in any precision.
    return list(dict.fromkeys([*kind.converts_to, *published])) or [_ANY]


def _precision(location: CacheLocation, info: catalog.ModelInfo) -> str:
    """The precision of a copy: only conversions exist in any requested precision."""
    if location.record is not None or info.hosted is None:
        return info.precision
    return info.hosted.precision


# Verification of every byte: by the SHA-256 of the catalog, the hub's listing or a conversion's
# record; by the SHA-1 of the git blob for small files of a hub repository.


class ReadOutcome(Word):
    """Result of reading a copy."""

    OK = (
        "ok",
        "all known hashes match; files without a known hash are named",
    )
    CORRUPT = (
        "corrupt",
        "a file differs in hash or size from the published or converted one",
    )
    PARTIAL = (
        "partial",
        "a file is missing",
    )
    UNKNOWN = (
        "not known",
        "no hash is known of any of its files",
    )
    UNREADABLE = (
        "not readable",
        "a file cannot be read",
    )


_OUTCOMES = {
    WeightsState.CORRUPT: ReadOutcome.CORRUPT,
    WeightsState.NOT_CHECKABLE: ReadOutcome.UNREADABLE,
    WeightsState.PARTIAL: ReadOutcome.PARTIAL,
}


@dataclass(frozen=True, slots=True)
class CopyVerdict:
    """Result of reading one copy.

    Attributes:
        outcome: of its worst file; ``UNKNOWN`` if no hash is known.
        problems: the wrong files, with the expected and the actual value.
        unknown: files without a known hash.
    """

    weights: InstalledWeights
    outcome: ReadOutcome
    problems: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def verify(
    installed: Sequence[InstalledWeights],
    *,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[CopyVerdict]:
    """Read all files again, even if hashes are remembered.

    Args:
        installed: the copies on this machine.
        progress: receives bytes done and bytes in all, from several threads.
    """
    checks = [
        WeightsCheck(
            catalog.model_info(each.name, each.format, each.precision),
            each.copy.state,
            (each.copy,),
            each.copy,
        )
        for each in installed
    ]  # fmt: skip
    hashed = with_checksums(checks, fresh=True, progress=progress)
    return [
        _judged(weights, check.copies[0]) for weights, check in zip(installed, hashed, strict=True)
    ]


def _judged(weights: InstalledWeights, copy: CachedCopy) -> CopyVerdict:
    """The verdict on a copy whose files were read."""
    unknown = tuple(file.name for file in copy.files if not file.verifiable)
    outcome = _OUTCOMES.get(copy.state, ReadOutcome.OK)
    if outcome is ReadOutcome.OK and len(unknown) == len(copy.files):
        outcome = ReadOutcome.UNKNOWN
    return CopyVerdict(weights, outcome, copy.problems, unknown)
