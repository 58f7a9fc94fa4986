"""Weights that a backend can be given: what is known of them once they were found and hashed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that are on this machine and are what they should be.

    Attributes:
        model: the canonical name, or ``org/name@REVISION``.
        form: their form.
        precision: what they are stored in.
        path: the file or folder a backend is given.
        files: file name → SHA-256, as hashed.
        size_bytes: of all files together.
        source: where they come from, without any local path.
        network_sha256: the identity of the network, equal for every form of it; known for
            converted weights and for those that the catalogue pins.
        english_only: whether the network knows no language but English.
    """

    model: str
    form: str
    precision: str
    path: Path
    files: Mapping[str, str]
    size_bytes: int
    source: str
    network_sha256: str | None = None
    english_only: bool = False
