"""``--dataset``: which one, what of it, and getting it when that was allowed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mac_whisper_speedtest.audio import entries
from mac_whisper_speedtest.audio.speech import Speech
from mac_whisper_speedtest.errors import UsageError

_HINT: Final = "librispeech:test-clean:n=100, or hf:ORG/NAME@REVISION:SPLIT:n=100"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SPLIT: Final = re.compile(r"[A-Za-z0-9][\w.-]*")


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


def parse(text: str) -> Dataset:
    """Read what was typed after ``--dataset``.

    Raises:
        UsageError: it is neither of the two forms.
    """
    collection, _, rest = text.partition(":")
    name, *options = rest.split(":")
    n = None
    if options and options[-1].startswith("n="):
        number = options.pop().removeprefix("n=")
        if not number.isascii() or not number.isdigit() or int(number) < 1:
            raise UsageError(f"n={number} is no number of utterances", hint=_HINT)
        n = int(number)
    if collection == "librispeech" and not options:
        return Dataset(collection, name, n=n)
    if collection == "hf" and len(options) <= 1:
        repository, _, revision = name.partition("@")
        split = options[0] if options else ""
        if not _REPOSITORY.fullmatch(repository):
            raise UsageError(f"{repository!r} is no repository of the hub", hint=_HINT)
        if not _COMMIT.fullmatch(revision):
            raise UsageError(
                f"the dataset {repository} has to be pinned: {revision or 'nothing'} is no commit "
                "of 40 hexadecimal digits, and what a branch holds changes",
                hint=f"the commits of it are listed at {repository}/commits/main on the hub",
            )
        if split and not _SPLIT.fullmatch(split):
            raise UsageError(f"{split!r} is no name of a split", hint=_HINT)
        return Dataset(collection, repository, revision, split, n)
    raise UsageError(f"no dataset is written as {text!r}", hint=_HINT)


def get(
    text: str,
    *,
    seed: int,
    language: str | None,
    announce: Callable[[str], None],
    allow_download: bool,
) -> Speech:
    """The dataset, or a sample of it, as a set of clips.

    Args:
        text: what was typed after ``--dataset``.
        seed: of the sample.
        language: of a dataset that does not say.
        announce: told before anything is downloaded.
        allow_download: whether it may be.

    Raises:
        UsageError: an unknown dataset, or one whose layout is not known.
        AudioError: nothing in it can be measured on.
        DownloadError: it is not here and may not be, or cannot be, downloaded.
        StorageError: the cache cannot be written.
    """
    dataset = parse(text)
    if dataset.collection == "librispeech":
        from mac_whisper_speedtest.audio import librispeech

        archive = librispeech.obtain(dataset.name, announce=announce, allow_download=allow_download)
        found = librispeech.entries(archive, n=dataset.n, seed=seed)
        source = f"LibriSpeech {dataset.name} (openslr.org/12, CC BY 4.0)"
    else:
        from mac_whisper_speedtest.audio import hub_dataset

        found = hub_dataset.entries(
            dataset, seed=seed, announce=announce, allow_download=allow_download
        )
        source = f"{dataset.name} at {dataset.revision} on the Hugging Face hub"
    return entries.speech_of(found, name=dataset.label, source=source, language=language)
