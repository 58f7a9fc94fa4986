"""The figures of a cell: computed from raw facts, and computed again at every look."""

from __future__ import annotations

from mac_whisper_speedtest.declared import Column
from mac_whisper_speedtest.results.schema.base import Computed, fact


class Finding(Computed):
    """Something a reader must know about the figures."""

    kind: str = fact("one of the words under *Finding kind*")
    message: str = fact("the facts, in words")


class Bounds(Computed):
    """An interval of a figure."""

    low: float = fact("lower end, in the figure's unit")
    high: float = fact("upper end, in the figure's unit")
    level: float = fact(
        "probability with which such an interval holds the true value: 0.95, or more where "
        "several must hold together"
    )
    rounds: int = fact("how many rounds it rests on")


class UtteranceScore(Computed):
    """One recording's errors."""

    name: str = fact(
        "the recording's name; the clip's where there is one",
        column=Column("utterance", brief=True),
    )
    rate: float | None = fact(
        "errors ÷ length of its reference",
        "fraction",
        null="the reference has no words",
        column=Column(brief=True),
    )
    substitutions: int = fact(
        "words that are others; characters where the metric is `cer`", column=Column(brief=True)
    )
    deletions: int = fact("words that are missing, likewise", column=Column(brief=True))
    insertions: int = fact(
        "words that are not in the reference, likewise", column=Column(brief=True)
    )
    hits: int = fact("words that are right, likewise", column=Column(brief=True))
    failed: bool = fact("whether there is no text", column=Column(brief=True))


class LanguageScore(Computed):
    """The errors of a set's recordings in one language."""

    language: str = fact("its code; empty where it is not known")
    utterances: int = fact("recordings in it that are scored")
    rate: float | None = fact(
        "errors ÷ length of their references", "fraction", null="these have no words"
    )
    substitutions: int = fact("as in `AccuracyResult`")
    deletions: int = fact("as in `AccuracyResult`")
    insertions: int = fact("as in `AccuracyResult`")
    hits: int = fact("as in `AccuracyResult`")


class AccuracyResult(Computed):
    """How accurate the texts are, in parts, and against the reference backend.

    Where a cell's samples of a recording differ in text, the one given most often is scored, of
    equals the first; a failure counts as a distinct text.
    """

    metric: str = fact(
        "metric of accuracy: `wer`, or `cer` where a language in the set has no spaces between "
        "words",
        column=Column("accuracy_metric"),
    )
    normalizer: str = fact(
        "name and version of the rules that both texts went through first, by language where "
        "they differ",
        column=Column(),
    )
    rate: float | None = fact(
        "error rate by the metric: (substitutions + deletions + insertions) ÷ length of the "
        "references, sums over all recordings",
        "fraction",
        null="no reference has a word",
        column=Column("accuracy_rate"),
    )
    rate_low: float | None = fact(
        "lower end of the 95 % interval of `rate`, from a bootstrap over speakers, utterances or "
        "blocks of words",
        "fraction",
        null="too few words",
        column=Column("accuracy_rate_low"),
        default=None,
    )
    rate_high: float | None = fact(
        "upper end of the interval of `rate`",
        "fraction",
        null="as `rate_low`",
        column=Column("accuracy_rate_high"),
        default=None,
    )
    rate_how: str = fact("what was resampled, in words; empty without an interval", default="")
    mean_rate: float | None = fact(
        "mean of the recordings' own rates", "fraction", null="as `rate`"
    )
    cer: float | None = fact(
        "character error rate: the same as `rate` in characters",
        "fraction",
        null="as `rate`",
        column=Column(),
    )
    substitutions: int = fact(
        "words that are others; characters where `metric` is `cer`, as in all that follow",
        column=Column(),
    )
    deletions: int = fact(
        "words that are missing; every word of a recording without text", column=Column()
    )
    insertions: int = fact("words that are in no reference", column=Column())
    hits: int = fact("words that are right")
    reference_words: int = fact("length of the references in words", column=Column())
    failed: int = fact("recordings without text", column=Column("failed_utterances"))
    unreached: int = fact(
        "recordings with a reference that were never reached: they count in nothing",
        column=Column("unreached_utterances"),
        default=0,
    )
    utterances: list[UtteranceScore] = fact("the same of each recording", default=[])
    languages: list[LanguageScore] = fact(
        "the same of each language, by its code; empty where there is only one", default=[]
    )
    against: str | None = fact(
        "id of the reference backend's cell",
        null="this is that cell, or no known reference backend is `ok` in the run",
        column=Column("accuracy_against"),
        default=None,
    )
    delta: float | None = fact(
        "`rate` less that of the cell `against`; above 0 is worse",
        "fraction",
        null="as `against`, or no reference has a word",
        column=Column("accuracy_delta"),
        default=None,
    )
    delta_low: float | None = fact(
        "lower end of the 95 % interval of `delta`, from a paired bootstrap",
        "fraction",
        null="as `delta`, or too few words",
        column=Column("accuracy_delta_low"),
        default=None,
    )
    delta_high: float | None = fact(
        "upper end of the interval of `delta`",
        "fraction",
        null="as `delta_low`",
        column=Column("accuracy_delta_high"),
        default=None,
    )
    verdict: str = fact(
        "`worse`: the whole interval is above one percentage point. `as good`: none of it is. "
        "`unclear`; empty where nothing is compared",
        column=Column("accuracy_verdict"),
        default="",
    )
    how: str = fact("what was resampled, in words; empty where nothing is compared", default="")


class BreakEven(Computed):
    """The length of audio at which two cells take equally long, with its 95 % interval."""

    seconds: float = fact("length of the audio")
    low: float = fact("lower end of its 95 % interval; 0 where all shorter audio may be equal", "s")
    high: float | None = fact("upper end", "s", null="all longer audio may be equal")
    wins_below: bool = fact("whether this cell is the faster one for shorter audio")


class DurationFit(Computed):
    """How the time grows with the length of the audio.

    Seconds = fixed cost + seconds per audio second, fitted in every round; medians over rounds.
    """

    fixed_s: float = fact(
        "what any audio costs, however short; may be below 0, because it is fitted", column=Column()
    )
    fixed: Bounds | None = fact("its 95 % interval", null="fewer than 3 rounds")
    per_audio_s: float = fact("what each second of audio costs", column=Column())
    per_audio: Bounds | None = fact("its 95 % interval", null="fewer than 3 rounds")
    shape: str | None = fact(
        "what predicts best the time of lengths left out: `line`, `steps` of 30 s, or `line and "
        "steps`",
        null="too few lengths to tell",
    )
    staircase: bool = fact("whether `shape` has steps")
    window_s: float | None = fact("what one window of 30 s more costs", null="`shape` has no steps")
    seconds_by_duration: dict[str, float] = fact(
        "name of the cut → median of `seconds` over samples", "s"
    )
    break_even_s: dict[str, BreakEven] = fact(
        "id of another cell of the same model → where the two take equally long; only those "
        "whose lines meet",
        unit="",
        default={},
    )


class Summary(Computed):
    """Figures of a cell: computed from its samples, never stored without them.

    Only samples that count are in it, unless a field says otherwise. A cell that did not end ``ok``
    keeps the figures that it measured, and has no rank, no interval and no verdict.
    """

    rank: int | None = fact(
        "the best rank in the group that the intervals leave open: 1 + the number of cells that "
        "are certainly faster",
        null="the status is not `ok`, there is no sample, or fewer than 3 rounds compare it with "
        "the others of its group",
        column=Column(brief=True),
    )
    rank_last: int | None = fact(
        "the worst such rank. Where it is not `rank`, the cell is tied: `1` to `3` is shown as 1–3",
        null="as `rank`",
        column=Column(),
        default=None,
    )
    group: str | None = fact(
        "letter of the cells of one model and clip that did equal work: A kept the contract, if "
        "any did. Cells that are fast but wrong have groups of their own, which come last",
        null="the status is not `ok`, or there is no sample",
        column=Column(brief=True),
        default=None,
    )
    timed_samples: int = fact(
        "timed samples there are, those that failed among them", column=Column()
    )
    timed_samples_asked: int = fact(
        "timed samples that were requested: rounds × passes × recordings", column=Column()
    )
    rounds_ok: int = fact("rounds with a worker that ended `ok`", column=Column())
    rounds_asked: int = fact(
        "rounds that were requested, by the stopping rule if there is one", column=Column()
    )
    retries: int = fact(
        "attempts beyond the first of each round, for whatever reason", column=Column()
    )
    median_s: float | None = fact(
        "seconds for the speech: median over rounds of each round's processing seconds per audio "
        "second, times the audio's; a process counts once",
        null="no sample",
        column=Column(brief=True),
    )
    min_s: float | None = fact(
        "seconds for the speech in the fastest pass over it: the same as `median_s`, of one pass "
        "instead of a round; of the passes that got texts of the most recordings",
        null="no sample",
        column=Column(),
    )
    max_s: float | None = fact(
        "seconds for the speech in the slowest such pass", null="no sample", column=Column()
    )
    rtfx: float | None = fact(
        "audio seconds per processing second: the speech's seconds ÷ `median_s`",
        null="no sample, or `median_s` is 0",
        column=Column(brief=True),
    )
    rtfx_bounds: Bounds | None = fact(
        "interval of `rtfx`",
        null="as `group`, or too few rounds: below 6 at 95 %",
        column=(
            Column("rtfx_low", of="low", brief=True),
            Column("rtfx_high", of="high", brief=True),
            Column("interval_level", of="level"),
            Column("interval_rounds", of="rounds"),
        ),
        default=None,
    )
    times_best: float | None = fact(
        "`median_s` ÷ the smallest `median_s` of the group",
        null="as `group`, or a median of 0",
        column=Column(),
    )
    times_best_bounds: Bounds | None = fact(
        "interval of the ratio to the fastest cell of the group, paired by round; all of the "
        "group's hold together, so its `level` is above the run's",
        null="as `group`, it is the fastest itself, or there are fewer than 3 common rounds",
        column=(Column("times_best_low", of="low"), Column("times_best_high", of="high")),
        default=None,
    )
    verdict: str = fact(
        "this cell against the fastest of the group; empty: it is the fastest, is alone, or has "
        "no rank",
        column=Column(),
        default="",
    )
    detectable: float | None = fact(
        "the difference from another cell of the group, as a fraction, that this run could have "
        "found with a power of 0.9: the median over those without a verdict against this cell, "
        "or over all if there is none",
        "fraction",
        null="as `rank`, or it is alone",
        column=Column(),
        default=None,
    )
    import_s: float | None = fact(
        "loading libraries: median of `import_s` over workers",
        null="no worker reports it",
        column=Column(),
    )
    load_s: float | None = fact(
        "loading weights: median of `load_s` over fresh loads",
        null="no worker got ready, or all its loads were of other rungs",
        column=Column(),
    )
    load_cold_s: float | None = fact(
        "loading weights that are not in the page cache: median of `load_s` over cold loads",
        null="no `--cold-load`, or the weights could not be dropped from the page cache",
        column=Column(),
        default=None,
    )
    load_warm_s: float | None = fact(
        "loading weights again in the same process: median of `load_s` over warm loads",
        null="no `--cold-load`",
        column=Column(),
        default=None,
    )
    first_s: float | None = fact(
        "first call of a process: median of its `seconds` over processes",
        null="no warm-up ended",
        column=Column(),
    )
    warmup_s: float | None = fact(
        "all warm-up calls of a process: median of their `wall_s` together over processes",
        null="no warm-up ended",
        column=Column(),
        default=None,
    )
    warmup_calls: int | None = fact(
        "warm-up calls of a process: the most of any",
        null="no warm-up ended",
        column=Column(),
        default=None,
    )
    first_segment_s: float | None = fact(
        "time to the first segment: median of `first_segment_s` over samples",
        null="the backend does not stream segments",
        column=Column(),
        default=None,
    )
    peak_memory_bytes: int | None = fact(
        "most memory of a worker process at the end of all its calls (the warm-up and the timed "
        "ones): on macOS the largest `peak_footprint_bytes` of all samples, elsewhere the largest "
        "`peak_rss_bytes`. Many backends need more at later calls, so it depends on their number",
        null="no sample has it",
        column=Column(brief=True),
    )
    peak_memory_kind: str = fact(
        "which memory that is: `footprint` (macOS: with Metal's) or `resident`. Figures of "
        "different kinds are not compared",
        column=Column(),
        default="resident",
    )
    first_peak_memory_bytes: int | None = fact(
        "the same at the end of the first call: the largest of first calls",
        null="no warm-up has it",
        column=Column(),
        default=None,
    )
    allocator_peak_bytes: int | None = fact(
        "most that the library's own allocator has held: the largest of all samples",
        null="it reports nothing",
        column=Column(),
        default=None,
    )
    allocator_figure: str = fact(
        "which of *Names of allocators* that is; else empty", column=Column(), default=""
    )
    cores_used: float | None = fact(
        "cores in use during calls: `tree_cpu_s` ÷ `wall_s`, sums over samples",
        "cores",
        null="no sample has it",
        column=Column(),
        default=None,
    )
    joules_per_audio_hour: float | None = fact(
        "energy above that of the idle machine: 3600 × (J - idle watts × t) ÷ seconds of audio, "
        "over all workers",
        "J/h",
        null="it could not be metered; `energy_quality` has the reason",
        column=Column(),
        default=None,
    )
    energy_quality: str = fact(
        "how far to trust the energy: flags of *Names of readings*; or `not measured: ` and why; "
        "empty: an ordinary counter, or nothing was metered",
        column=Column(),
        default="",
    )
    device_memory_bytes: int | None = fact(
        "most device memory in use: the largest `gpu_peak_bytes` of workers that the driver shows; "
        "else the largest of torch's allocator on CUDA, or the rise of the whole device",
        null="no worker has one; `device_memory_quality` has the reason",
        column=Column(),
        default=None,
    )
    device_memory_quality: str = fact(
        "how far to trust it: empty: the driver's own figure; `allocator: ` and its name; a flag "
        "of *Names of readings*; or `not measured: ` and why",
        column=Column(),
        default="",
    )
    wer: float | None = fact(
        "word error rate over all recordings: 0.05 is 5 %. Can be above 1. `accuracy` has its "
        "parts",
        "fraction",
        null=(
            "no reference with words, no timed sample, or a language whose words have no "
            "spaces between them (see `cer`)"
        ),
        column=Column(brief=True),
    )
    accuracy: AccuracyResult | None = fact(
        "how right the texts are", null="no reference, or no timed sample", default=None
    )
    fast_but_wrong: bool = fact(
        "whether the accuracy gate's verdict is `worse`. Such cells are ranked separately",
        column=Column(),
        default=False,
    )
    duration: DurationFit | None = fact(
        "how the time grows with the length of the audio",
        null=(
            "the run is not on cuts (`--durations`), the status is not `ok`, or no round has "
            "two lengths"
        ),
        default=None,
    )
    findings: list[Finding] = fact("what a reader must know beside the number")
