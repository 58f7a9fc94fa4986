"""The figures of a cell: computed from raw facts, and computed again at every look."""

from __future__ import annotations

from typing import Annotated

from mac_whisper_speedtest.declared import Column, Doc
from mac_whisper_speedtest.results.schema.base import Computed


class Finding(Computed, frozen=True, kw_only=True):
    """Something a reader must know beside the number."""

    kind: Annotated[str, Doc("see below")]
    message: Annotated[str, Doc("the facts, in words")]


class Bounds(Computed, frozen=True, kw_only=True):
    """An interval of a figure."""

    low: Annotated[float, Doc("lower end, in the figure's unit")]
    high: Annotated[float, Doc("upper end, in the figure's unit")]
    level: Annotated[
        float,
        Doc(
            "probability with which such an interval holds the true value: 0.95, or more where "
            "several must hold together"
        ),
    ]
    rounds: Annotated[int, Doc("how many rounds it rests on")]


class UtteranceScore(Computed, frozen=True, kw_only=True):
    """One recording's errors."""

    name: Annotated[
        str,
        Doc("the recording's name; the clip's where there is one"),
        Column("utterance", brief=True),
    ]
    rate: Annotated[
        float | None,
        Doc("errors ÷ length of its reference", unit="fraction", null="that has no words"),
        Column(brief=True),
    ]
    substitutions: Annotated[
        int, Doc("words that are others; characters where the metric is `cer`"), Column(brief=True)
    ]
    deletions: Annotated[int, Doc("words that are missing, likewise"), Column(brief=True)]
    insertions: Annotated[
        int, Doc("words that are not in the reference, likewise"), Column(brief=True)
    ]
    hits: Annotated[int, Doc("words that are right, likewise"), Column(brief=True)]
    failed: Annotated[bool, Doc("whether there is no text"), Column(brief=True)]


class AccuracyResult(Computed, frozen=True, kw_only=True):
    """How accurate the texts are, in parts, and against the reference backend.

    Where a cell's samples of a recording differ in text, the one given most often is scored, of
    equals the first; a failure counts as a text of its own.
    """

    metric: Annotated[
        str,
        Doc(
            "metric of accuracy: `wer`, or `cer` where a language in the set has no spaces "
            "between words"
        ),
        Column("accuracy_metric"),
    ]
    normalizer: Annotated[
        str,
        Doc(
            "name and version of the rules that both texts went through first, by language "
            "where they differ"
        ),
        Column(),
    ]
    rate: Annotated[
        float | None,
        Doc(
            "error rate by the metric: (substitutions + deletions + insertions) ÷ length of the "
            "references, sums over all recordings",
            unit="fraction",
            null="no reference has a word",
        ),
        Column("accuracy_rate"),
    ]
    mean_rate: Annotated[
        float | None, Doc("mean of the recordings' own rates", unit="fraction", null="as `rate`")
    ]
    cer: Annotated[
        float | None,
        Doc(
            "character error rate: the same as `rate` in characters",
            unit="fraction",
            null="as `rate`",
        ),
        Column(),
    ]
    substitutions: Annotated[
        int,
        Doc("words that are others; characters where `metric` is `cer`, as in all that follow"),
        Column(),
    ]
    deletions: Annotated[
        int, Doc("words that are missing; every word of a recording without text"), Column()
    ]
    insertions: Annotated[int, Doc("words that are in no reference"), Column()]
    hits: Annotated[int, Doc("words that are right")]
    reference_words: Annotated[int, Doc("length of the references in words"), Column()]
    failed: Annotated[int, Doc("recordings without text"), Column("failed_utterances")]
    utterances: Annotated[list[UtteranceScore], Doc("the same of each recording")] = []
    against: Annotated[
        str | None,
        Doc(
            "id of the reference backend's cell",
            null="this is that cell, or no known reference backend is `ok` in the run",
        ),
        Column("accuracy_against"),
    ] = None
    delta: Annotated[
        float | None,
        Doc(
            "`rate` less that of the cell `against`; above 0 is worse",
            unit="fraction",
            null="as `against`, or no reference has a word",
        ),
        Column("accuracy_delta"),
    ] = None
    delta_low: Annotated[
        float | None,
        Doc(
            "lower end of the 95 % interval of `delta`, from a paired bootstrap",
            unit="fraction",
            null="as `delta`, or too little was said",
        ),
        Column("accuracy_delta_low"),
    ] = None
    delta_high: Annotated[
        float | None,
        Doc("upper end of the interval of `delta`", unit="fraction", null="as `delta_low`"),
        Column("accuracy_delta_high"),
    ] = None
    verdict: Annotated[
        str,
        Doc(
            "`worse`: the whole interval is above one percentage point. `as good`: none of it "
            "is. `unclear`; empty where nothing is compared"
        ),
        Column("accuracy_verdict"),
    ] = ""
    how: Annotated[str, Doc("what was resampled, in words; empty where nothing is compared")] = ""


class BreakEven(Computed, frozen=True, kw_only=True):
    """The length of audio at which two cells take equally long, with its 95 % interval."""

    seconds: Annotated[float, Doc("length of the audio", unit="s")]
    low: Annotated[
        float,
        Doc("lower end of its 95 % interval; 0 where all shorter audio may be equal", unit="s"),
    ]
    high: Annotated[float | None, Doc("upper end", unit="s", null="all longer audio may be equal")]
    wins_below: Annotated[bool, Doc("whether this cell is the faster one for shorter audio")]


class DurationFit(Computed, frozen=True, kw_only=True):
    """How the time grows with the length of the audio.

    Seconds = fixed cost + seconds per audio second, fitted in every round; medians over rounds.
    """

    fixed_s: Annotated[
        float,
        Doc("what any audio costs, however short; below 0 where the line says so", unit="s"),
        Column(),
    ]
    fixed: Annotated[Bounds | None, Doc("its 95 % interval", null="fewer than 3 rounds")]
    per_audio_s: Annotated[float, Doc("what each second of audio costs", unit="s"), Column()]
    per_audio: Annotated[Bounds | None, Doc("its 95 % interval", null="fewer than 3 rounds")]
    shape: Annotated[
        str | None,
        Doc(
            "what predicts best the time of lengths left out: `line`, `steps` of 30 s, or `line "
            "and steps`",
            null="too few lengths to tell",
        ),
    ]
    staircase: Annotated[bool, Doc("whether `shape` has steps")]
    window_s: Annotated[
        float | None,
        Doc("what one window of 30 s more costs", unit="s", null="`shape` has no steps"),
    ]
    seconds_by_duration: Annotated[
        dict[str, float], Doc("name of the cut → median of `seconds` over samples", unit="s")
    ]
    break_even_s: Annotated[
        dict[str, BreakEven],
        Doc(
            "id of another cell of the same model → where the two take equally long; only those "
            "whose lines meet"
        ),
    ] = {}


class Summary(Computed, frozen=True, kw_only=True):
    """Figures of a cell: computed from its samples, never stored without them.

    Only samples that count are in it, unless a field says otherwise. A cell that did not end ``ok``
    keeps the figures of what it did measure, and has no rank, no interval and no verdict.
    """

    rank: Annotated[
        int | None,
        Doc(
            "the best rank in the group that the intervals leave open: 1 + the number of cells "
            "that are certainly faster",
            null="the status is not `ok`, or there is no sample",
        ),
        Column(brief=True),
    ]
    rank_last: Annotated[
        int | None,
        Doc(
            "the worst such rank. Where it is not `rank`, the cell is tied: `1` to `3` is "
            "shown as 1–3",
            null="as `rank`",
        ),
        Column(),
    ] = None
    group: Annotated[
        str | None,
        Doc(
            "letter of the cells of one model and clip that did equal work: A kept the "
            "contract, if any did. Cells that are fast but wrong have groups of their own, "
            "which come last",
            null="as `rank`",
        ),
        Column(),
    ] = None
    timed_samples: Annotated[
        int, Doc("timed samples there are, those that failed among them"), Column()
    ]
    timed_samples_asked: Annotated[
        int, Doc("timed samples that were requested: rounds × passes × recordings"), Column()
    ]
    rounds_ok: Annotated[int, Doc("rounds with a worker that ended `ok`"), Column()]
    rounds_asked: Annotated[
        int,
        Doc("rounds that were requested; with `--budget` or `--ci-width` the fewest"),
        Column(),
    ]
    retries: Annotated[
        int, Doc("attempts beyond the first of each round, for whatever reason"), Column()
    ]
    median_s: Annotated[
        float | None,
        Doc(
            "seconds for the speech: median over rounds of each round's processing seconds per "
            "audio second, times the audio's; a process counts once",
            unit="s",
            null="no sample",
        ),
        Column(brief=True),
    ]
    min_s: Annotated[
        float | None,
        Doc("the fastest sample of any recording", unit="s", null="no sample"),
        Column(),
    ]
    max_s: Annotated[
        float | None,
        Doc("the slowest sample of any recording", unit="s", null="no sample"),
        Column(),
    ]
    rtfx: Annotated[
        float | None,
        Doc(
            "audio seconds per processing second: the speech's seconds ÷ `median_s`",
            null="no sample, or `median_s` is 0",
        ),
        Column(brief=True),
    ]
    rtfx_bounds: Annotated[
        Bounds | None,
        Doc("interval of `rtfx`", null="as `rank`, or too few rounds: below 6 at 95 %"),
        Column("rtfx_low", of="low", brief=True),
        Column("rtfx_high", of="high", brief=True),
        Column("interval_level", of="level"),
        Column("interval_rounds", of="rounds"),
    ] = None
    times_best: Annotated[
        float | None,
        Doc(
            "`median_s` ÷ the smallest `median_s` of the group", null="as `rank`, or a median of 0"
        ),
        Column(),
    ]
    times_best_bounds: Annotated[
        Bounds | None,
        Doc(
            "interval of the ratio to the fastest cell of the group, paired by round; all of "
            "the group's hold together, so its `level` is above the run's",
            null="as `rank`, it is the fastest itself, or there are fewer than 3 common rounds",
        ),
        Column("times_best_low", of="low"),
        Column("times_best_high", of="high"),
    ] = None
    verdict: Annotated[
        str,
        Doc(
            "this cell against the fastest of the group; empty: it is the fastest, is alone, "
            "or has no rank"
        ),
        Column(),
    ] = ""
    import_s: Annotated[
        float | None,
        Doc(
            "loading libraries: median of `import_s` over workers",
            unit="s",
            null="no worker reports it",
        ),
        Column(),
    ]
    load_s: Annotated[
        float | None,
        Doc(
            "loading weights: median of `load_s` over fresh loads",
            unit="s",
            null="no worker got ready, or all its loads were of other rungs",
        ),
        Column(),
    ]
    load_cold_s: Annotated[
        float | None,
        Doc(
            "loading weights that are not in the page cache: median of `load_s` over cold loads",
            unit="s",
            null="no `--cold-load`, or the weights could not be dropped from the page cache",
        ),
        Column(),
    ] = None
    load_warm_s: Annotated[
        float | None,
        Doc(
            "loading weights again in the same process: median of `load_s` over warm loads",
            unit="s",
            null="no `--cold-load`",
        ),
        Column(),
    ] = None
    first_s: Annotated[
        float | None,
        Doc(
            "first call of a process: median of `seconds` over warm-ups",
            unit="s",
            null="no warm-up ended",
        ),
        Column(),
    ]
    first_segment_s: Annotated[
        float | None,
        Doc(
            "time to the first segment: median of `first_segment_s` over samples",
            unit="s",
            null="the backend does not stream segments",
        ),
        Column(),
    ] = None
    peak_rss_bytes: Annotated[
        int | None,
        Doc(
            "highest resident memory: the largest `peak_rss_bytes`, of every sample and warm-up",
            unit="byte",
            null="no sample has it",
        ),
        Column(brief=True),
    ]
    cores_used: Annotated[
        float | None,
        Doc(
            "cores in use during calls: `tree_cpu_s` ÷ `wall_s`, sums over samples",
            unit="cores",
            null="no sample has it",
        ),
        Column(),
    ] = None
    joules_per_audio_hour: Annotated[
        float | None,
        Doc(
            "energy above that of the idle machine: 3600 × (J - idle watts × t) ÷ seconds of "
            "audio, over all workers",
            unit="J/h",
            null="it could not be metered; `energy_quality` says why",
        ),
        Column(),
    ] = None
    energy_quality: Annotated[
        str,
        Doc(
            "how far to trust the energy: flags of *Names of readings*; or `not measured: ` and "
            "why; empty: an ordinary counter, or nothing was metered"
        ),
        Column(),
    ] = ""
    device_memory_bytes: Annotated[
        int | None,
        Doc(
            "most device memory in use: the largest `gpu_peak_bytes`",
            unit="byte",
            null="no worker has one",
        ),
        Column(),
    ] = None
    wer: Annotated[
        float | None,
        Doc(
            "word error rate over all recordings: 0.05 is 5 %. Can be above 1. `accuracy` has "
            "its parts",
            unit="fraction",
            null="no reference with words, no timed sample, or a language whose words have no "
            "spaces between them (see `cer`)",
        ),
        Column(brief=True),
    ]
    accuracy: Annotated[
        AccuracyResult | None,
        Doc("how right the texts are", null="no reference, or no timed sample"),
    ] = None
    fast_but_wrong: Annotated[
        bool,
        Doc("whether the accuracy gate says `worse`. Such a cell is ranked only among its like"),
        Column(),
    ] = False
    duration: Annotated[
        DurationFit | None,
        Doc(
            "how the time grows with the length of the audio",
            null="the run is not on cuts (`--durations`), the status is not `ok`, or no round has "
            "two lengths",
        ),
    ] = None
    findings: Annotated[list[Finding], Doc("what a reader must know beside the number")]
