"""Rounds, decisions and endings, and the journal's lines in the order in which they happen."""

from __future__ import annotations

from typing import Annotated

from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.declared import Doc, FieldPolicy
from mac_whisper_speedtest.results.schema.base import Struct
from mac_whisper_speedtest.results.schema.machine import ToolInfo
from mac_whisper_speedtest.results.schema.measured import LoadResult, MeterResult, SampleResult


class ConditionsInfo(Struct, frozen=True, kw_only=True):
    """The machine's state at one moment; docs/results.md lists the conditions."""

    values: Annotated[
        dict[str, float | str | bool],
        Doc("condition → value, of those that are known"),
        FieldPolicy.SCRUBBED,
    ]
    unknown: Annotated[
        dict[str, str], Doc("condition → why it is not known"), FieldPolicy.SCRUBBED
    ] = {}


class RoundResult(Struct, frozen=True, kw_only=True):
    """The machine before and after one round."""

    round: Annotated[int, Doc("the round"), FieldPolicy.KEPT]
    before: Annotated[ConditionsInfo, Doc("immediately before it"), FieldPolicy.INSIDE]
    after: Annotated[ConditionsInfo, Doc("immediately after it"), FieldPolicy.INSIDE]
    canary_before_s: Annotated[
        float | None,
        Doc("what a fixed small computation took before it", unit="s", null="it was not run"),
        FieldPolicy.KEPT,
    ] = None
    canary_after_s: Annotated[
        float | None, Doc("the same after it", unit="s", null="it was not run"), FieldPolicy.KEPT
    ] = None
    changes: Annotated[
        list[str], Doc("which conditions became worse or different, in words"), FieldPolicy.SCRUBBED
    ] = []
    flagged: Annotated[
        str,
        Doc(
            "why the round is not to be trusted: these changes, or a canary that is off by more "
            "than 10 % and more than its own spread explains; else empty"
        ),
        FieldPolicy.SCRUBBED,
    ] = ""
    replaced_by: Annotated[
        int | None,
        Doc("the number of the round that replaces this one", null="it was not retaken"),
        FieldPolicy.KEPT,
    ] = None
    cooled_s: Annotated[
        float | None,
        Doc(
            "how long was waited afterwards for the canary to come back, 30 s at most",
            unit="s",
            null="it was not slower",
        ),
        FieldPolicy.KEPT,
    ] = None


class DecisionResult(Struct, frozen=True, kw_only=True):
    """What the stopping rule decided, after a number of rounds that was fixed beforehand.

    Before the first decision every round visits every cell; after one, only its ``cells``. A cell
    that it leaves out is not ``skipped``: it was not due. A decision is also written when the time
    of ``--budget`` is too short for another round.
    """

    after: Annotated[int, Doc("rounds that were done when it was made"), FieldPolicy.KEPT]
    until: Annotated[
        int,
        Doc(
            "rounds `after` to `until` - 1 visit `cells`; equal to `after` where the run ends here"
        ),
        FieldPolicy.KEPT,
    ]
    look: Annotated[int, Doc("which of the planned looks at the data, from 0"), FieldPolicy.KEPT]
    level: Annotated[
        float,
        Doc(
            "level of the intervals that the rule looked at, and of the finished run's if it is "
            "the last: 0.95 with `--ci-width`, which sees only how wide they are; with "
            "`--budget` 1 - 0.05 ÷ the number of looks planned, because it sees verdicts"
        ),
        FieldPolicy.KEPT,
    ]
    cells: Annotated[
        list[str],
        Doc(
            "ids of the cells to go on with: those with an interval that is too wide and those "
            "that they are compared with (`--ci-width`); those of pairs without a verdict, the "
            "cheapest to settle first (`--budget`). Empty: the run ends here"
        ),
        FieldPolicy.CELL,
    ]
    reason: Annotated[str, Doc("why, in words"), FieldPolicy.SCRUBBED]


class EndingResult(Struct, frozen=True, kw_only=True):
    """How one worker ended, or (without ``attempt``) why one was not started."""

    round: Annotated[int, Doc("the round"), FieldPolicy.KEPT]
    attempt: Annotated[
        int | None,
        Doc(
            "0; above that, another worker for what is left of the round: a retry, after a "
            "recording that ended its worker, or in a run that was resumed",
            null="no worker was started in that round",
        ),
        FieldPolicy.KEPT,
    ]
    status: Annotated[
        str,
        Doc(
            "one of the words under *Statuses*. `ok` without an attempt: the cell's time was "
            "used up and the round rightly left out"
        ),
        FieldPolicy.KEPT,
    ]
    stage: Annotated[
        str,
        Doc(
            "`spawn`, `import`, `load`, `warmup`, `transcribe`, `unload`, `shutdown`; empty "
            "when nothing went wrong or nothing ran"
        ),
        FieldPolicy.KEPT,
    ]
    error_class: Annotated[
        str, Doc("see *Error classes*; empty when nothing went wrong"), FieldPolicy.SCRUBBED
    ]
    message: Annotated[str, Doc("one line for a person; may be empty"), FieldPolicy.SCRUBBED]
    log_tail: Annotated[
        str,
        Doc(
            "the last 16 KiB of what the worker wrote to stderr, and its traceback; empty when "
            "nothing went wrong"
        ),
        FieldPolicy.DROPPED,
    ]
    exit_code: Annotated[
        int | None,
        Doc("the process's exit status", null="it was killed, or exited as it should"),
        FieldPolicy.KEPT,
    ]
    busy_after_s: Annotated[
        float | None,
        Doc(
            "how long the worker went on using the processor after its last answer; 0.5 or "
            "more: at least so long, it was not watched further",
            unit="s",
            null="it ended earlier, or the system does not report it",
        ),
        FieldPolicy.KEPT,
    ] = None
    weights_found: Annotated[
        str,
        Doc(
            "with `--repair`, the first time a cell's weights could not be loaded: what was "
            "found when they were read again, in words; else empty"
        ),
        FieldPolicy.SCRUBBED,
    ] = ""
    repaired: Annotated[
        list[str],
        Doc(
            "what was done to the weights before this attempt, in words; its own attempt of the "
            "round is not one of `--retries`"
        ),
        FieldPolicy.SCRUBBED,
    ] = []


# The journal's lines.


class WorkerStarted(Struct, frozen=True, kw_only=True, tag="worker_started", tag_field="event"):
    """A worker process is being started for a cell's round."""

    cell: Annotated[str, Doc("the cell's id"), FieldPolicy.CELL]
    round: Annotated[int, Doc("the round"), FieldPolicy.KEPT]
    attempt: Annotated[int, Doc("the attempt"), FieldPolicy.KEPT]


class Loaded(LoadResult, frozen=True, kw_only=True, tag="loaded", tag_field="event"):
    """The weights are loaded. With ``--cold-load``, twice by the first round's worker."""

    cell: Annotated[str, Doc("the cell's id"), FieldPolicy.CELL]
    version: Annotated[str, Doc("as in `BackendResult`"), FieldPolicy.SCRUBBED]
    versions: Annotated[dict[str, str], Doc("as in `BackendResult`"), FieldPolicy.SCRUBBED]
    details: Annotated[dict[str, str], Doc("as in `BackendResult`"), FieldPolicy.DETAILS]
    warnings: Annotated[
        list[str],
        Doc("in words, where device or precision are not what was requested: a fallback"),
        FieldPolicy.SCRUBBED,
    ] = []


class Effective(Struct, frozen=True, kw_only=True, tag="effective", tag_field="event"):
    """The settings in use: before a worker's first sample, and again only when they change."""

    cell: Annotated[str, Doc("the cell's id"), FieldPolicy.CELL]
    round: Annotated[int, Doc("the round"), FieldPolicy.KEPT]
    attempt: Annotated[int, Doc("the attempt"), FieldPolicy.KEPT]
    values: Annotated[
        dict[str, SettingValue], Doc("`effective` of `ContractResult`"), FieldPolicy.NAME
    ]
    observed: Annotated[list[str], Doc("as in `ContractResult`"), FieldPolicy.NAME]
    remarks: Annotated[list[str], Doc("as in `ContractResult`"), FieldPolicy.SCRUBBED]


class Sample(SampleResult, frozen=True, kw_only=True, tag="sample", tag_field="event"):
    """A transcription of a cell."""

    cell: Annotated[str, Doc("the cell's id"), FieldPolicy.CELL]


class Metered(MeterResult, frozen=True, kw_only=True, tag="metered", tag_field="event"):
    """Probes were read, after a worker's last timed sample."""

    cell: Annotated[str, Doc("the cell's id"), FieldPolicy.CELL]


class RoundWatched(RoundResult, frozen=True, kw_only=True, tag="round_watched", tag_field="event"):
    """A round has ended: after its last cell, where the machine is watched."""


class Decided(DecisionResult, frozen=True, kw_only=True, tag="decided", tag_field="event"):
    """The stopping rule decided: before the next round, or before the end."""


class WorkerEnded(EndingResult, frozen=True, kw_only=True, tag="worker_ended", tag_field="event"):
    """A worker has ended."""

    cell: Annotated[str, Doc("the cell's id"), FieldPolicy.CELL]


class RoundSkipped(Struct, frozen=True, kw_only=True, tag="round_skipped", tag_field="event"):
    """A planned round is not run."""

    cell: Annotated[str, Doc("the cell's id"), FieldPolicy.CELL]
    round: Annotated[int, Doc("the round"), FieldPolicy.KEPT]
    status: Annotated[
        str, Doc("`ok` (the time was used up), `skipped` or `unavailable`"), FieldPolicy.KEPT
    ]
    error_class: Annotated[
        str, Doc("`Budget`, `FailedBefore`, `Stopped` or `Unavailable`"), FieldPolicy.SCRUBBED
    ]
    message: Annotated[str, Doc("why, in words"), FieldPolicy.SCRUBBED]


class Resumed(Struct, frozen=True, kw_only=True, tag="resumed", tag_field="event"):
    """The run is resumed (``run --resume``).

    What follows was measured by another process of this tool, perhaps much later.
    """

    at: Annotated[str, Doc("ISO 8601, UTC, to the second"), FieldPolicy.KEPT]
    tool: Annotated[ToolInfo, Doc("this program, as it is now"), FieldPolicy.INSIDE]


class RunEnded(Struct, frozen=True, kw_only=True, tag="run_ended", tag_field="event"):
    """The run has ended: the last line, unless the tool was killed."""

    state: Annotated[
        str, Doc("as in `Outcome`, but never `recovered` or `running`"), FieldPolicy.KEPT
    ]
    message: Annotated[str, Doc("why, in words; may be empty"), FieldPolicy.SCRUBBED] = ""


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
