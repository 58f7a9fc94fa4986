"""Rounds, decisions and endings, and the journal's lines in the order in which they happen."""

from __future__ import annotations

from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.declared import FieldPolicy
from mac_whisper_speedtest.results.schema.base import Struct, fact, inside, kept, named, scrubbed
from mac_whisper_speedtest.results.schema.machine import ToolInfo
from mac_whisper_speedtest.results.schema.measured import LoadResult, MeterResult, SampleResult


class ConditionsInfo(Struct):
    """The machine's state at one moment; docs/reference/words.md lists the conditions."""

    values: dict[str, float | str | bool] = scrubbed("condition → value, of those that are known")
    unknown: dict[str, str] = scrubbed("condition → why it is not known", default={})


class RoundResult(Struct):
    """The machine before and after one round."""

    round: int = kept("the round")
    before: ConditionsInfo = inside("immediately before it")
    after: ConditionsInfo = inside("immediately after it")
    canary_before_s: float | None = kept(
        "what a fixed small computation took before it", null="it was not run", default=None
    )
    canary_after_s: float | None = kept("the same after it", null="it was not run", default=None)
    changes: list[str] = scrubbed(
        "which conditions became worse or different, in words", default=[]
    )
    flagged: str = scrubbed(
        "why the round is not to be trusted: these changes, or a canary that is off by more than "
        "10 % and more than its own spread explains; else empty",
        default="",
    )
    replaced_by: int | None = kept(
        "the number of the round that replaces this one", null="it was not retaken", default=None
    )
    cooled_s: float | None = kept(
        "how long was waited afterwards for the canary to come back, 30 s at most",
        null="it was not slower",
        default=None,
    )


class DecisionResult(Struct):
    """What the stopping rule decided, after a number of rounds that was fixed beforehand.

    Before the first decision every round visits every cell; after one, only its ``cells``. A cell
    that it leaves out is not ``skipped``: it was not due. A decision is also written when the time
    left is too short for another round.
    """

    after: int = kept("rounds that were done when it was made")
    until: int = kept(
        "rounds `after` to `until` - 1 visit `cells`; equal to `after` where the run ends here"
    )
    look: int = kept("which of the planned looks at the data, from 0")
    level: float = kept(
        "level of the intervals that the rule looked at, and of the finished run's if it is the "
        "last: 0.95 with `--ci-width`, which sees only how wide they are; else 1 - 0.05 ÷ the "
        "number of looks planned, because it sees verdicts"
    )
    cells: list[str] = fact(
        "ids of the cells that get more rounds: those with an interval that is too wide and those "
        "that they are compared with (`--ci-width`); else those of pairs without a verdict, the "
        "cheapest to settle first. Empty: the run ends here",
        policy=FieldPolicy.CELL,
    )
    reason: str = scrubbed("why, in words; empty where nothing can be compared")


class EndingResult(Struct):
    """How one worker ended, or (without ``attempt``) why one was not started."""

    round: int = kept("the round")
    attempt: int | None = kept(
        "0; above that, another worker for what is left of the round: a retry, after a recording "
        "that ended its worker, or in a run that was resumed",
        null="no worker was started in that round",
    )
    status: str = kept(
        "one of the words under *Status*. `ok` without an attempt: the cell's time was used up "
        "and the round rightly left out"
    )
    stage: str = kept(
        "`spawn`, `import`, `load`, `warmup`, `transcribe`, `unload`, `shutdown`; empty when "
        "nothing went wrong or nothing ran"
    )
    error_class: str = scrubbed("see *Error classes*; empty when nothing went wrong")
    message: str = scrubbed("one line for a person; may be empty")
    log_tail: str = fact(
        "the last 16 KiB of what the worker wrote to stderr, and its traceback; empty when "
        "nothing went wrong",
        policy=FieldPolicy.DROPPED,
    )
    exit_code: int | None = kept(
        "the process's exit status", null="it was killed, or exited as it should"
    )
    busy_after_s: float | None = kept(
        "how long the worker went on using the processor after its last answer; 0.5 or more: at "
        "least so long, it was not watched further",
        null="it ended earlier, or the system does not report it",
        default=None,
    )
    weights_found: str = scrubbed(
        "with `--repair`, the first time a cell's weights could not be loaded: what was found "
        "when they were read again, in words; else empty",
        default="",
    )
    repaired: list[str] = scrubbed(
        "what was done to the weights before this attempt, in words; its own attempt of the "
        "round is not one of `--retries`",
        default=[],
    )


# The journal's lines.


class WorkerStarted(Struct, tag="worker_started", tag_field="event"):
    """A worker process is being started for a cell's round."""

    cell: str = fact("the cell's id", policy=FieldPolicy.CELL)
    round: int = kept("the round")
    attempt: int = kept("the attempt")


class Loaded(LoadResult, tag="loaded", tag_field="event"):
    """The weights are loaded. With ``--cold-load``, twice by the first round's worker."""

    cell: str = fact("the cell's id", policy=FieldPolicy.CELL)
    version: str = scrubbed("as in `BackendResult`")
    versions: dict[str, str] = scrubbed("as in `BackendResult`")
    details: dict[str, str] = fact("as in `BackendResult`", policy=FieldPolicy.DETAILS)
    warnings: list[str] = scrubbed(
        "in words, where device or precision are not what was requested: a fallback", default=[]
    )


class Effective(Struct, tag="effective", tag_field="event"):
    """The settings in use: before a worker's first sample, and again only when they change."""

    cell: str = fact("the cell's id", policy=FieldPolicy.CELL)
    round: int = kept("the round")
    attempt: int = kept("the attempt")
    values: dict[str, SettingValue] = named("`effective` of `ContractResult`")
    observed: list[str] = named("as in `ContractResult`")
    remarks: list[str] = scrubbed("as in `ContractResult`")
    language: str | None = named(
        "two-letter code of the recordings that were decoded with them",
        null="not known",
        default=None,
    )


class Sample(SampleResult, tag="sample", tag_field="event"):
    """A transcription of a cell."""

    cell: str = fact("the cell's id", policy=FieldPolicy.CELL)


class Metered(MeterResult, tag="metered", tag_field="event"):
    """Probes were read, after a worker's last timed sample."""

    cell: str = fact("the cell's id", policy=FieldPolicy.CELL)


class RoundWatched(RoundResult, tag="round_watched", tag_field="event"):
    """A round has ended: after its last cell, where the machine is watched."""


class Decided(DecisionResult, tag="decided", tag_field="event"):
    """The stopping rule decided: before the next round, or before the end."""


class WorkerEnded(EndingResult, tag="worker_ended", tag_field="event"):
    """A worker has ended."""

    cell: str = fact("the cell's id", policy=FieldPolicy.CELL)


class RoundSkipped(Struct, tag="round_skipped", tag_field="event"):
    """A planned round is not run."""

    cell: str = fact("the cell's id", policy=FieldPolicy.CELL)
    round: int = kept("the round")
    status: str = kept("`ok` (the time was used up), `skipped` or `unavailable`")
    error_class: str = scrubbed("`Budget`, `FailedBefore`, `Stopped` or `Unavailable`")
    message: str = scrubbed("why, in words")


class Resumed(Struct, tag="resumed", tag_field="event"):
    """The run is resumed (``run --resume``).

    What follows was measured by another process of this tool, perhaps much later.
    """

    at: str = kept("ISO 8601, UTC, to the second")
    tool: ToolInfo = inside("this program, as it is now")


class RunEnded(Struct, tag="run_ended", tag_field="event"):
    """The run has ended: the last line, unless the tool was killed."""

    state: str = kept("as in `Outcome`, but never `recovered` or `running`")
    message: str = scrubbed("why, in words; may be empty", default="")


Event = (
    WorkerStarted
    | Loaded
    | Effective
    | Sample
    | Metered
    | RoundWatched
    | Decided
    | WorkerEnded
    | RoundSkipped
    | Resumed
    | RunEnded
)
