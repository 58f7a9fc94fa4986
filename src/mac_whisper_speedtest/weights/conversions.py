"""Other forms of weights that are here: whether one is needed, where it is kept, making it once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError
from mac_whisper_speedtest.weights.hashes import sha256_files
from mac_whisper_speedtest.weights.locations import converted_folder, custom_conversion
from mac_whisper_speedtest.weights.repair import Damage, DamagedError, Origin, identity
from mac_whisper_speedtest.weights.weights import Weights

if TYPE_CHECKING:
    from mac_whisper_speedtest.convert.record import ConversionRecord


def suits(source_form: str, stored: str, form: str, precision: str) -> bool:
    """Whether weights are handed over as they are, and not converted first.

    Args:
        source_form: their form.
        stored: what they are stored in.
        form: the form that is wanted.
        precision: what is wanted to be stored.

    Raises:
        WeightsMissingError: they are not what is wanted, and cannot be converted to it.
    """
    kind = catalog.forms().get(form)
    # Whoever loads a form that is never converted casts it; others compute in what they find.
    casts = kind is not None and not kind.converts_to
    if form == source_form and (casts or precision == stored):
        return True
    from mac_whisper_speedtest.convert import FORMS

    if form not in FORMS or FORMS[form].writer is None:
        raise WeightsMissingError(
            f"{source_form} weights cannot be converted to {form}",
            hint=f"name a model that is published as {form}",
        )
    if FORMS[form].carries_vocabulary and not FORMS[source_form].carries_vocabulary:
        raise WeightsMissingError(
            f"{source_form} weights have no vocabulary, which {form} ones need",
            hint="name a model that is published as ctranslate2 or huggingface",
        )
    return False


def converted(
    source: Weights,
    form: str,
    precision: str,
    *,
    announce: Callable[[str], None],
    fresh: bool,
) -> Weights:
    """The same network in another form, from the tool's cache or made now.

    Args:
        source: what to convert.
        form: a form that the converter writes.
        precision: the precision to store it in.
        announce: told before a conversion, which takes seconds to minutes.
        fresh: read every converted file again, whatever is remembered of it.

    Raises:
        DamagedError: what is in the cache is not what was converted.
        WeightsError: the source cannot be read as such weights.
        StorageError: the cache cannot be written.
    """
    import filelock

    from mac_whisper_speedtest import convert

    target = convert.form_named(form)
    folder = folder_of(source, form, precision)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{folder}.lock"):
        if not folder.exists():
            announce(f"converting {source.model} to {form} {precision} (once)")
            convert.convert(
                source.path,
                form,
                folder,
                precision=precision,
                source_form=source.form,
                provenance={"source": source.source},
            )
        record, hashes = _checked(source.model, form, folder, fresh=fresh)
    files = target.files(folder)
    return Weights(
        model=source.model,
        form=form,
        precision=precision,
        path=files[0] if target.is_one_file else folder,
        files=hashes,
        size_bytes=sum(file.size for file in record.output_files),
        source=f"converted from {source.source}",
        network_sha256=record.network_sha256,
        english_only=source.english_only,
    )


def folder_of(source: Weights, form: str, precision: str) -> Path:
    """Where the conversion of ``source`` is kept: in a folder that names nothing outside it."""
    if catalog.is_custom(source.model):
        return custom_conversion(catalog.parse_custom(source.model), form, precision)
    return converted_folder(source.model, form, precision, source.files["model.bin"])


def _checked(
    model: str, form: str, folder: Path, *, fresh: bool
) -> tuple[ConversionRecord, dict[str, str]]:
    """What was written down of a conversion, and its files' hashes, which are the same.

    Raises:
        DamagedError: they are not, or it cannot be read.
    """
    from mac_whisper_speedtest.convert.record import RECORD_NAME, read_record

    def damaged(message: str, *names: str) -> DamagedError:
        found = Damage(model, form, names, folder, Origin.CONVERTED, seen=identity(folder))
        by_hand = f"remove the folder {folder}; it is made anew at the next run"
        return DamagedError(message, found, by_hand=by_hand)

    try:
        record = read_record(folder)
    except WeightsError as error:
        raise damaged(error.message, RECORD_NAME) from error
    read = sha256_files([folder / file.name for file in record.output_files], fresh=fresh)
    hashes: dict[str, str] = {}
    for file in record.output_files:
        seen = read[folder / file.name]
        if isinstance(seen, OSError):
            raise damaged(f"the converted weights lack {file.name}", file.name) from seen
        if seen != file.sha256:
            raise damaged(
                f"{file.name} is not what was converted: SHA-256 is {seen[:16]}…, "
                f"should be {file.sha256[:16]}…",
                file.name,
            )
        hashes[file.name] = seen
    return record, hashes
