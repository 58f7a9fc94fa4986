"""Whether a backend's weights are on this machine and complete, without running the backend.

`CacheCheck` reads names and sizes; `with_checksums` reads contents too. Neither starts a process,
imports a backend or opens a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from mac_whisper_speedtest import catalog, paths
from mac_whisper_speedtest.catalog import LocationKind, ModelInfo
from mac_whisper_speedtest.errors import WeightsError
from mac_whisper_speedtest.weights import custom, hub_cache, pull, snapshot
from mac_whisper_speedtest.weights import hashes as weight_hashes
from mac_whisper_speedtest.weights.expected import CacheLocation
from mac_whisper_speedtest.weights.inspect import (
    CachedCopy,
    Evidence,
    WeightsState,
    best,
    inspect_copy,
)
from mac_whisper_speedtest.weights.locate import suits
from mac_whisper_speedtest.weights.locations import (
    conversion,
    custom_conversion,
    custom_pulled,
    hosted_locations,
    locations_of,
)
from mac_whisper_speedtest.weights.verify import compare_hashes

_NOT_ASKED = "only the system knows: names and sizes cannot show it"


@dataclass(frozen=True, slots=True)
class WeightsCheck:
    """State of one model's weights.

    Attributes:
        info: the model as the backend sees it.
        state: of the copy that a run would use; without one, of the best other copy.
        copies: one per location examined.
        chosen: the copy with that ``state``; ``None`` if no location was examined.
        reason: why it is unavailable, not checkable or not known; for a network that the system
            keeps, also any other message.
        source: the official weights to convert, or the pulled files to assemble.
        beside: the published files that belong to the conversion, for formats that need both.
    """

    info: ModelInfo
    state: WeightsState
    copies: tuple[CachedCopy, ...] = ()
    chosen: CachedCopy | None = None
    reason: str = ""
    source: CachedCopy | None = None
    beside: CachedCopy | None = None

    @property
    def evidence(self) -> Evidence | None:
        """The evidence for ``complete``; ``None`` in other states."""
        return self.chosen.evidence if self.chosen and self.state is WeightsState.COMPLETE else None

    @property
    def can_be_converted(self) -> bool:
        """Whether it can be made from complete local weights, without a download."""
        parts = [self.source, self.beside] if self.info.completed_by else [self.source]
        whole = all(part is not None and part.state is WeightsState.COMPLETE for part in parts)
        return whole and self.is_lacking

    @property
    def is_lacking(self) -> bool:
        """Whether a run needs another copy: none is whole and readable.

        The tool can make its own copy if a library's may not be read.
        """
        if self.state is WeightsState.NOT_CHECKABLE and self.chosen is not None:
            location = self.chosen.location
            return location.kind is LocationKind.LIBRARY and location.for_run
        return self.state in {WeightsState.ABSENT, WeightsState.PARTIAL, WeightsState.CORRUPT}

    @property
    def problems(self) -> tuple[str, ...]:
        """What is missing or wrong in the chosen copy, then in any other that is damaged."""
        if self.chosen is None:
            return ()
        others = [
            f"{copy.location.where}: {problem}"
            for copy in self.copies
            if copy is not self.chosen
            and copy.state in {WeightsState.CORRUPT, WeightsState.PARTIAL}
            for problem in copy.problems
        ]
        return (*self.chosen.problems, *others)


class CacheCheck:
    """Checks models one by one, and examines every location once."""

    def __init__(self) -> None:
        self._seen: dict[CacheLocation, CachedCopy] = {}

    def check(self, info: ModelInfo) -> WeightsCheck:
        """Check one model's weights by names and sizes."""
        if info.kept_by or (
            info.path is None and info.weights_format not in catalog.weights_formats()
        ):
            state = WeightsState.NOT_KNOWN if info.kept_by else WeightsState.NOT_CHECKABLE
            reason = _NOT_ASKED if info.kept_by else info.unavailable
            return WeightsCheck(info, state, reason=reason)
        if info.path is None and catalog.is_custom(info.model) and info.locations:
            return self._check_custom(info, catalog.parse_custom(info.model))
        where = locations_of(info)
        if not where:
            reason = info.unavailable or "not published, and this tool cannot convert it"
            return WeightsCheck(info, WeightsState.UNAVAILABLE, reason=reason)
        if info.path is None and catalog.weights_formats()[info.weights_format].assembled:
            return self._check_assembled(info, where)
        check = _checked(info, [self._inspect(location) for location in where])
        if info.source is None:
            return check
        beside = self._published(info.completed_by) if info.completed_by else None
        return replace(check, source=self._published(info.source), beside=beside)

    def _published(self, row: catalog.HostedWeights) -> CachedCopy | None:
        return best([self._inspect(location) for location in hosted_locations(row)])

    def _check_assembled(self, info: ModelInfo, where: Sequence[CacheLocation]) -> WeightsCheck:
        """Check the folders that a backend can load, and the pulled files they are made of."""
        usable = [self._inspect(location) for location in where if location.for_run]
        pulled = [self._inspect(location) for location in where if not location.for_run]
        return replace(_checked(info, usable), source=best(pulled))

    def _check_custom(self, info: ModelInfo, model: catalog.Custom) -> WeightsCheck:
        """Check the pulled files if they are usable unconverted, else their conversion."""
        files = snapshot.resolve_custom(model)
        source = self._inspect(custom_pulled(model, files))
        pull = f"speedtest models pull {model}"
        if source.state is not WeightsState.COMPLETE or files is None:
            return replace(_checked(info, [source]), reason=pull)
        weights_format, precision = info.weights_format, info.precision
        try:
            held = custom.detect(files)
            as_it_is = suits(held.format, held.precision, weights_format, precision)
        except WeightsError as error:
            return WeightsCheck(info, WeightsState.UNAVAILABLE, reason=error.message)
        if as_it_is:
            one_file = replace(source.location, is_file=held.path.is_file())
            return replace(_checked(info, [self._inspect(one_file)]), reason=pull)
        folder = custom_conversion(model, weights_format, precision)
        check = _checked(info, [self._inspect(conversion(folder, weights_format))])
        return replace(check, source=source, reason=pull)

    def _inspect(self, location: CacheLocation) -> CachedCopy:
        if location not in self._seen:
            self._seen[location] = inspect_copy(location)
        return self._seen[location]


def chosen_copy(copies: Sequence[CachedCopy]) -> CachedCopy | None:
    """The copy that a run would use, else the best one.

    A run uses the first of its own locations with any content; other locations of libraries
    count only if a run's locations are empty.
    """
    own = (
        copy for copy in copies if copy.location.for_run and copy.state is not WeightsState.ABSENT
    )
    return next(own, best(copies))


def _checked(info: ModelInfo, copies: Sequence[CachedCopy]) -> WeightsCheck:
    """The state of a model's weights: the state of `chosen_copy`."""
    chosen = chosen_copy(copies)
    assert chosen is not None
    return WeightsCheck(info, chosen.state, tuple(copies), chosen)


def with_checksums(
    checks: Sequence[WeightsCheck],
    *,
    fresh: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[WeightsCheck]:
    """The same checks after reading every file whose hash is known.

    Args:
        checks: what `CacheCheck` found.
        fresh: read every file again, even if its hash is remembered.
        progress: receives bytes done and bytes in all, from several threads.
    """
    copies = {
        copy for check in checks for copy in (*check.copies, check.source, check.beside) if copy
    }
    files = {file.path: file.size for copy in copies for file in copy.files if file.sha256}
    total, done = sum(files.values()), 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    hashes = weight_hashes.sha256_files(list(files), fresh=fresh, progress=more)
    hashed = {copy: compare_hashes(copy, hashes) for copy in copies}
    return [_rechecked(check, hashed) for check in checks]


def _rechecked(check: WeightsCheck, hashed: dict[CachedCopy, CachedCopy]) -> WeightsCheck:
    source = hashed[check.source] if check.source else None
    beside = hashed[check.beside] if check.beside else None
    if not check.copies:
        return replace(check, source=source, beside=beside)
    again = _checked(check.info, [hashed[copy] for copy in check.copies])
    return replace(again, source=source, beside=beside, reason=check.reason)


# What must be fetched to complete the weights, and at what cost.


@dataclass(frozen=True, slots=True)
class Need:
    """One publication that must be fetched.

    Attributes:
        row: what to fetch.
        missing_bytes: bytes to download; ``None`` if its size is not known.
    """

    row: catalog.HostedWeights
    missing_bytes: int | None


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of fetching everything that is missing.

    Attributes:
        needs: each publication once.
        known_bytes: total of the known sizes.
        unknown: number of publications of unknown size.
        seconds: for the known bytes, at the speed of earlier downloads; ``None`` without any.
        free_bytes: on the disk of the Hugging Face cache.
    """

    needs: tuple[Need, ...]
    known_bytes: int
    unknown: int
    seconds: float | None
    free_bytes: int | None


def needs(check: WeightsCheck) -> list[Need]:
    """What must be fetched for one model; empty if nothing must, or nothing can."""
    if not check.is_lacking:
        return []
    info = check.info
    if info.kept_by:
        return []
    rows = [(info.origin, check.source or check.chosen)]
    if info.completed_by is not None:
        rows.append((info.completed_by, check.beside))
        rows = [(row, here) for row, here in rows if not _is_complete(here)]
    if check.can_be_converted:
        return []
    return [Need(row, _missing_bytes(row, here)) for row, here in rows if row is not None]


def _is_complete(copy: CachedCopy | None) -> bool:
    return copy is not None and copy.state is WeightsState.COMPLETE


def _missing_bytes(row: catalog.HostedWeights, here: CachedCopy | None) -> int | None:
    """Bytes of ``row`` to download; damaged files count as missing."""
    if not row.complete:
        return row.known_bytes
    whole: set[str] = set()
    if here is not None and here.location.hub_repository and here.state is not WeightsState.CORRUPT:
        whole = {file.name for file in here.files}
    return sum(file.size or 0 for file in row.needed_files if file.name not in whole)


def cost(checks: Iterable[WeightsCheck]) -> Cost:
    """The cost of fetching everything that is missing; each publication counts once."""
    # One repository may have many models, each in its own file.
    publications = {(one.row.place, one.row.files): one for check in checks for one in needs(check)}
    sizes = [one.missing_bytes for one in publications.values()]
    known = sum(size for size in sizes if size is not None)
    return Cost(
        tuple(publications.values()),
        known,
        sizes.count(None),
        pull.expected_seconds(known) if known else None,
        _free_bytes(),
    )


def _free_bytes() -> int | None:
    try:
        return hub_cache.free_bytes()
    except OSError:
        return None


def advice(check: WeightsCheck) -> str:
    """The next step for one model; empty if none is needed."""
    if check.state is WeightsState.COMPLETE:
        return ""
    if not check.is_lacking or check.info.path is not None or check.info.kept_by:
        return check.reason
    chosen = check.chosen
    if check.state is WeightsState.CORRUPT and chosen is not None:
        return _repair_advice(check, chosen)
    if check.can_be_converted:
        made = "converts it" if check.info.source or check.reason else "assembles it"
        return f"nothing to fetch: the next run {made}, or check-models --download does"
    return _fetch_advice(check)


def _repair_advice(check: WeightsCheck, chosen: CachedCopy) -> str:
    """How to repair a damaged copy."""
    model = check.info.model
    remove = f"speedtest models remove {model} --format {check.info.weights_format}"
    if chosen.location.kind is LocationKind.CONVERTED:
        return f"{remove}; the next run converts it again"
    row = check.info.hosted
    if chosen.location.kind is LocationKind.LIBRARY and chosen.location.for_run and row:
        return f"{row.pull_command} fetches a copy of the tool's own"
    if chosen.location.for_run and chosen.location.hub_repository:
        return f"speedtest models pull {model} fetches the damaged files again"
    if chosen.location.folder.is_relative_to(paths.cache_dir()):
        return f"{remove}, then pull it again"
    return f"remove it from {chosen.location.where}"


def _fetch_advice(check: WeightsCheck) -> str:
    """How to get a missing copy."""
    needed = needs(check)
    if not needed:
        return check.reason
    row = needed[0].row
    if check.info.completed_by is not None:
        return f"speedtest models pull {row.model} --format {check.info.weights_format}"
    return row.pull_command if row.repository or row.mirror else f"fetch it from {row.url}"
