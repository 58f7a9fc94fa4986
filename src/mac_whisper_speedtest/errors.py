"""The errors this program shows to a person, and the exit codes it ends with."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells the shell. Documented in docs/results.md; never renumber."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    SOME_CELLS_FAILED = 3
    ALL_CELLS_FAILED = 4
    STORAGE = 5
    WEIGHTS_MISSING = 6
    WEIGHTS_CORRUPT = 7
    NOT_LOADABLE = 8
    UNFIT = 9
    DOWNLOAD = 10
    REGRESSION = 11
    INTERRUPTED = 130


class SpeedtestError(Exception):
    """Something a person can act on: one line saying what was wrong, and what to do next.

    Attributes:
        message: what was wrong, with the value seen.
        hint: the next thing to type or to check; may be empty.
        exit_code: what the process should end with.
    """

    exit_code: ExitCode = ExitCode.USAGE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SpeedtestError):
    """The request itself is wrong: a bad option, file, model or backend name."""


class AudioError(UsageError):
    """The audio cannot be measured on: unreadable, empty, too short, not finite."""


class WeightsError(SpeedtestError):
    """Weights are absent, not what they claim to be, or in a form that cannot be read."""


class WeightsMissingError(WeightsError):
    """No copy of these weights is on this machine."""


class NotMeasuredError(SpeedtestError):
    """Whatever was to be measured came to no end often enough to say anything."""

    exit_code = ExitCode.ALL_CELLS_FAILED


class StorageError(SpeedtestError):
    """A file could not be written or read back: disk full, no permission, damage."""

    exit_code = ExitCode.STORAGE


class DownloadError(SpeedtestError):
    """Something could not be fetched, or what was served is not what is pinned."""

    exit_code = ExitCode.DOWNLOAD
