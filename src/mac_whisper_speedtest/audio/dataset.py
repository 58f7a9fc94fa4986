"""A dataset as the user names it: which collection, which part, how many utterances."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset and how much of it.

    Attributes:
        collection: ``librispeech`` or ``hf``.
        name: the split of LibriSpeech, or the repository on the hub.
        revision: the hub's commit; empty for LibriSpeech.
        split: a folder of the repository; empty for the root, and for LibriSpeech.
        n: how many utterances; None for all.
    """

    collection: str
    name: str
    revision: str = ""
    split: str = ""
    n: int | None = None

    @property
    def label(self) -> str:
        """How tables call it; the revision is in ``source``."""
        parts = [self.collection, self.name]
        parts += [self.split] if self.split else []
        parts += [f"n={self.n}"] if self.n is not None else []
        return ":".join(parts)
