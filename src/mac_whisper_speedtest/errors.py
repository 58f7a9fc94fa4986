"""The errors that the user sees, and the program's exit codes."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

from mac_whisper_speedtest.declared import Word
from mac_whisper_speedtest.printable import printable

if TYPE_CHECKING:
    from typing import Self

_MOST_LISTED = 12
"""Names that a hint lists."""
LONGEST_MESSAGE = 4000
"""Characters of a message or a hint, which may quote a file or a server."""


class ExitCode(IntEnum):
    """Exit codes of every command, with what each means. Never renumber."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """A code and its meaning."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "done; of a run: every cell that counts is ok"
    INTERNAL = 1, "a defect of this tool, with a traceback; conformance: checks failed"
    USAGE = 2, "the request was wrong or cannot be met; nothing was measured"
    SOME_CELLS_FAILED = 3, "some cells that count are not ok"
    ALL_CELLS_FAILED = 4, "no cell is ok"
    STORAGE = 5, "a file or stdout could not be written or read; the journal is safe"
    WEIGHTS_MISSING = 6, "weights are absent or incomplete; a run measured nothing"
    WEIGHTS_CORRUPT = 7, "weights are not what was published or converted"
    NOT_LOADABLE = 8, "check-models: weights are present, but were not shown to load"
    UNFIT = 9, "doctor: this machine is not ready; selfcheck: a measurement is wrong"
    DOWNLOAD = 10, "something could not be fetched"
    REGRESSION = 11, "compare, history: --fail-on found something"
    INTERRUPTED = 130, "Ctrl-C, SIGTERM or SIGHUP"


class ErrorClass(Word):
    """Why a worker or a round ended, where no exception of a backend says it."""

    DEADLINE = "Deadline", "`timeout`: a stage's deadline passed"
    EXIT = "Exit", "`crashed`: it exited with the status in `exit_code`"
    KERNEL_OUT_OF_MEMORY = "KernelOutOfMemory", "`out_of_memory`: the kernel killed it for memory"
    MEMORY_LIMIT = "MemoryLimit", "`out_of_memory`: it outgrew its limit and was killed"
    PROTOCOL_VIOLATION = "ProtocolViolation", "`protocol_violation`: the message says what is wrong"
    SILENT_EXIT = "SilentExit", "`protocol_violation`: it exited with status 0 without answering"
    JOURNAL_LINE = "JournalLine", "`protocol_violation`: a line of the journal cannot be true"
    NOT_INSTALLED = "NotInstalled", "`unavailable`: the message says what to type"
    UNAVAILABLE = "Unavailable", "`unavailable`: no weights; the message says what to type"
    FAILED_BEFORE = "FailedBefore", "`skipped`: an earlier round of the cell failed"
    STOPPED = "Stopped", "`skipped`: `--fail-fast` or `--max-failures`"
    INTERRUPTED = "Interrupted", "`skipped`: interrupted by the user, or the tool was killed"
    BUDGET = "Budget", "`ok`: the time of `--max-time` was used up"


class SpeedtestError(Exception):
    """An error that the user can act on.

    Attributes:
        message: one line with the problem and the value.
        hint: the next thing to type or to check; may be empty.
        exit_code: of the process.
    """

    exit_code: ExitCode = ExitCode.USAGE

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = _presentable(message)
        self.hint = _presentable(hint)
        super().__init__(self.message)


def nearest_names(name: str, known: Iterable[str], *, listed_by: str) -> str:
    """The hint for a name that does not exist: the nearest ones that do, or all of them.

    Args:
        name: as it was typed.
        known: the names that exist.
        listed_by: the command that lists them.
    """
    import difflib  # only for a mistake

    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower, cutoff=0.4)
    if near:
        return f"did you mean {' or '.join(by_lower[each] for each in near)}? All: {listed_by}"
    if len(by_lower) > _MOST_LISTED:
        return f"all names: {listed_by}"
    return f"known: {', '.join(by_lower.values())} ({listed_by})"


def _presentable(text: str) -> str:
    if len(text) > LONGEST_MESSAGE:
        text = f"{text[:LONGEST_MESSAGE]}…"
    return printable(text)


class UsageError(SpeedtestError):
    """The request is wrong: a bad option, file, model or backend name."""


class AudioError(UsageError):
    """The audio cannot be measured: unreadable, empty, too short, not finite."""


class WeightsError(SpeedtestError):
    """Weights are missing, damaged or in an unreadable format."""


class WeightsMissingError(WeightsError):
    """No copy of these weights is on this machine."""


class NotMeasuredError(SpeedtestError):
    """Too few measurements completed to state a result."""

    exit_code = ExitCode.ALL_CELLS_FAILED


class StorageError(SpeedtestError):
    """A file could not be written or read back: disk full, no permission, damage."""

    exit_code = ExitCode.STORAGE


class DownloadError(SpeedtestError):
    """A download failed, or the downloaded file is not the pinned one."""

    exit_code = ExitCode.DOWNLOAD
