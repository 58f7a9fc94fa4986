"""The figures of a cell: computed from raw facts, and computed again at every look."""

from __future__ import annotations

from mac_whisper_speedtest.results.schema.manifest import Struct


class Finding(Struct, frozen=True, kw_only=True):
    """Something a reader must know beside the number."""

    kind: str
    message: str


class Bounds(Struct, frozen=True, kw_only=True):
    """An interval from ``rounds`` rounds that holds the true value with probability ``level``."""

    low: float
    high: float
    level: float
    rounds: int


class UtteranceScore(Struct, frozen=True, kw_only=True):
    """One utterance's errors; ``rate`` is ``None`` where its reference has no words."""

    name: str
    rate: float | None
    substitutions: int
    deletions: int
    insertions: int
    hits: int
    failed: bool


class AccuracyResult(Struct, frozen=True, kw_only=True):
    """How right the texts are: corpus rate, its parts, and the gate against the reference backend.

    ``delta`` is this cell's rate minus that of ``against``, with its interval; ``verdict`` is ``as
    good``, ``worse`` or ``unclear``, and ``how`` says how that was judged.
    """

    metric: str
    normalizer: str
    rate: float | None
    mean_rate: float | None
    cer: float | None
    substitutions: int
    deletions: int
    insertions: int
    hits: int
    reference_words: int
    failed: int
    utterances: list[UtteranceScore] = []
    against: str | None = None
    delta: float | None = None
    delta_low: float | None = None
    delta_high: float | None = None
    verdict: str = ""
    how: str = ""


class BreakEven(Struct, frozen=True, kw_only=True):
    """The length of audio at which two cells take equally long, with its interval.

    ``high`` is ``None`` where all longer audio may be equal; ``wins_below`` says that this cell is
    the quicker one for shorter audio.
    """

    seconds: float
    low: float
    high: float | None
    wins_below: bool


class DurationFit(Struct, frozen=True, kw_only=True):
    """Seconds = fixed cost + seconds per audio second, fitted in every round.

    ``shape`` says what predicts best: ``line``, ``steps`` of 30 s, or ``line and steps``;
    ``window_s`` is the cost of one such window more. ``break_even_s`` maps another cell's id to the
    length of audio at which the two take equally long.
    """

    fixed_s: float
    fixed: Bounds | None
    per_audio_s: float
    per_audio: Bounds | None
    shape: str | None
    staircase: bool
    window_s: float | None
    seconds_by_duration: dict[str, float]
    break_even_s: dict[str, BreakEven] = {}


class Summary(Struct, frozen=True, kw_only=True):
    """Computed from the samples, never stored without them; ``None`` is "not measured".

    Seconds are medians over rounds of each round's seconds for the whole speech. ``rtfx`` is audio
    seconds per processing second. ``rank``, ``rank_last``, ``times_best`` and ``verdict`` are
    within ``group``: cells that did equal work. ``rank`` to ``rank_last`` are the ranks that the
    intervals leave open; ``verdict`` compares with the quickest of the group.
    """

    rank: int | None
    rank_last: int | None = None
    group: str | None = None
    timed_samples: int
    timed_samples_asked: int
    rounds_ok: int
    rounds_asked: int
    retries: int
    median_s: float | None
    min_s: float | None
    max_s: float | None
    rtfx: float | None
    rtfx_bounds: Bounds | None = None
    times_best: float | None
    times_best_bounds: Bounds | None = None
    verdict: str = ""
    import_s: float | None
    load_s: float | None
    load_cold_s: float | None = None
    load_warm_s: float | None = None
    first_s: float | None
    first_segment_s: float | None = None
    peak_rss_bytes: int | None
    cores_used: float | None = None
    joules_per_audio_hour: float | None = None
    energy_quality: str = ""
    device_memory_bytes: int | None = None
    wer: float | None
    accuracy: AccuracyResult | None = None
    fast_but_wrong: bool = False
    duration: DurationFit | None = None
    findings: list[Finding]
