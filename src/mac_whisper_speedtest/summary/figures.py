"""A run with its figures; the code that computes them is imported only if needed."""

from __future__ import annotations

from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory


def with_figures(run: RunDirectory) -> s.Run:
    """The run in a directory with its figures: the sealed ones if proven current, else computed.

    To prove that figures follow from samples, compute them: ``summarize(run.replay())``.

    Raises:
        StorageError: the manifest is missing or damaged, or the journal cannot be read.
    """
    sealed = run.sealed()
    if sealed is not None:
        return sealed
    # These imports take two fifths of the time of `show`, and most runs are sealed.
    from mac_whisper_speedtest.summary.summarize import summarize

    return summarize(run.replay())
