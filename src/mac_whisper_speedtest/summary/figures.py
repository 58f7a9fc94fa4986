"""A run with its figures, without what computes them unless they must be computed."""

from __future__ import annotations

from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory


def with_figures(run: RunDirectory) -> s.Run:
    """The run in a directory with its figures: as sealed where that is proven, else computed.

    What has to show that figures follow from samples computes them: ``summarize(run.replay())``.

    Raises:
        StorageError: the manifest is missing or damaged, or the journal cannot be read.
    """
    sealed = run.sealed()
    if sealed is not None:
        return sealed
    # Statistics, accuracy and meters: two fifths of the time of `show`, whose run mostly is sealed.
    from mac_whisper_speedtest.summary.summarize import summarize

    return summarize(run.replay())
