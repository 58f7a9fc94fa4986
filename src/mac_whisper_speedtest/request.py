# ruff: noqa: D102 - the methods of a kind of value are those of ValueKind
"""A run's request: every option once, with its type, check, meaning and bundle policy.

Derived from these fields, by short loops: the options of ``speedtest run`` (cli/options.py), the
keywords and checks of the Python interface (`from_keywords`), the manifest's request (the struct
of the same fields in results/schema), the command that measures a run again
(report/reproduce.py), what a bundle does with each field, and docs/reference/run-options.md.

To add an option, add one field: to `RecordedRequest` if a run shall write it down, else to
`Request`. Imports the standard library alone, because ``--help`` imports it.
"""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract, SettingValue
from mac_whisper_speedtest.declared import Column, Doc, FieldPolicy, declarations
from mac_whisper_speedtest.option import (
    ByteSize,
    FilePath,
    Group,
    Lengths,
    Newest,
    OneOf,
    Option,
    Processors,
    Seconds,
    Several,
    Share,
    SpokenLanguage,
    Switch,
    TagName,
    WholeNumber,
)

DEFAULT_ROUNDS = 6
"""The fewest from which the median has a 95 % interval without assuming anything about the noise:
its ends are the smallest and the largest of six, which miss it with probability 2 / 2**6."""

DEFAULT_MAX_ROUNDS = 60
"""Where ``--ci-width`` and ``--budget`` give up."""

OPEN_PAIRS_TIME = 0.5
"""Without any of these options, time for undecided pairs, as a share of that of the first rounds
(``DEFAULT_ROUNDS``); and the most rounds of a cell then:"""
OPEN_PAIRS_ROUNDS = 15

MAX_DOWNLOAD_BYTES = 2_000_000_000
"""Largest recording that is fetched from an address, unless asked otherwise: a day of mp3."""


class ContractName(OneOf):
    """A contract by its name; its value is the name and every setting."""

    def check(self, value: Any, name: str) -> dict[str, SettingValue]:
        return settings_of(CONTRACTS[super().check(value, name)])

    def text(self, value: Mapping[str, SettingValue]) -> str:
        return str(value.get("name"))


def settings_of(contract: DecodeContract) -> dict[str, SettingValue]:
    """A contract as a run records it: its name and its settings."""
    return {"name": contract.name, **contract.settings()}


# Only a part of `Request`, so it needs no methods of its own; --help is faster without.
@dataclass(init=False, repr=False, eq=False, frozen=True, kw_only=True)
class RecordedRequest:
    """What was requested, as a run records it; ``request_sha256`` is over exactly this.

    In a manifest every default that depends on the machine or the speech is filled in.
    """

    models: Annotated[
        tuple[str, ...],
        Option("--model", Group.WHAT, Several(), short="-m", required=True),
        Doc("model name, such as tiny.en, or org/name@REVISION of a repository that was pulled"),
        FieldPolicy.NAME,
    ]
    backends: Annotated[
        tuple[str, ...],
        Option("--backend", Group.WHAT, Several(), short="-b", otherwise="all"),
        Doc("NAME[@VERSION][:PRECISION], or a .toml file that describes a program"),
        FieldPolicy.NAME,
    ] = ()
    backends_named: Annotated[
        bool,
        Doc("whether backends were named: then one that is missing is a failure"),
        FieldPolicy.KEPT,
    ] = False
    clips: Annotated[
        tuple[str, ...],
        Doc("what was measured on: the name of the recording or of the set"),
        FieldPolicy.CLIP,
    ] = ()
    contract: Annotated[
        dict[str, SettingValue],
        Option("--contract", Group.WHAT, ContractName(tuple(CONTRACTS))),
        Doc("what every backend is asked to do; see: speedtest backends contract"),
        FieldPolicy.NAME,
    ] = field(default_factory=lambda: settings_of(DecodeContract()))
    precision: Annotated[
        str,
        Option("--precision", Group.WHAT),
        Doc("precision to compute in, such as float16 or int8, where a backend has a choice"),
        FieldPolicy.NAME,
        Column("precision_asked"),
    ] = "auto"
    cold_load: Annotated[
        bool,
        Option("--cold-load", Group.WHAT, Switch(), rare=True),
        Doc("measure cold and warm loads too"),
        FieldPolicy.KEPT,
    ] = False
    durations: Annotated[
        tuple[float, ...],
        Option("--durations", Group.AUDIO, Lengths(), rare=True),
        Doc("measure on cuts of these lengths, such as 2,5,10,30,31,60", unit="s"),
        FieldPolicy.KEPT,
    ] = ()
    rounds: Annotated[
        int | None,
        Option("--rounds", Group.AMOUNT, WholeNumber(least=1), otherwise="6, more if undecided"),
        Doc(
            "fresh processes per cell; with --budget or --ci-width the fewest",
            null=f"not given: {DEFAULT_ROUNDS}, and up to {OPEN_PAIRS_ROUNDS} of cells in "
            f"undecided pairs, which takes {OPEN_PAIRS_TIME:.0%} more time at most; with --budget "
            f"or --ci-width {DEFAULT_ROUNDS} at least",
        ),
        FieldPolicy.KEPT,
    ] = None
    passes: Annotated[
        int,
        Option("--passes", Group.AMOUNT, WholeNumber(least=1), otherwise="2, of a set 1"),
        Doc("timed passes over the speech per process"),
        FieldPolicy.KEPT,
        Column("passes_asked"),
    ] = 0
    budget_s: Annotated[
        float | None,
        Option("--budget", Group.AMOUNT, Seconds()),
        Doc(
            "time for the whole run, such as 5m, allocated to undecided pairs",
            unit="s",
            null="not given",
        ),
        FieldPolicy.KEPT,
    ] = None
    ci_width: Annotated[
        float | None,
        Option("--ci-width", Group.AMOUNT, Share()),
        Doc(
            "keep sampling until every confidence interval is this narrow, such as 2%",
            unit="fraction",
            null="not given",
        ),
        FieldPolicy.KEPT,
    ] = None
    max_rounds: Annotated[
        int,
        Option("--max-rounds", Group.AMOUNT, WholeNumber(least=1)),
        Doc("most rounds of a run with --budget or --ci-width"),
        FieldPolicy.KEPT,
    ] = DEFAULT_MAX_ROUNDS
    max_time_s: Annotated[
        float | None,
        Option("--max-time", Group.AMOUNT, Seconds(), otherwise="120s, or 5 × audio"),
        Doc("time per cell over all rounds", unit="s", null="a stopping rule limits the run"),
        FieldPolicy.KEPT,
    ] = None
    retake: Annotated[
        bool,
        Option(
            "--retake", Group.AMOUNT, Switch(), off="--no-retake", rare=True,
            envvar="SPEEDTEST_RETAKE",
        ),
        Doc("retake samples and rounds in which the machine was disturbed"),
        FieldPolicy.KEPT,
    ] = True  # fmt: skip
    seed: Annotated[
        int,
        Option("--seed", Group.AMOUNT, WholeNumber(), rare=True),
        Doc("seed of the visiting order and of samples of datasets"),
        FieldPolicy.KEPT,
    ] = 0
    device: Annotated[
        str,
        Option("--device", Group.MACHINE),
        Doc("`auto`, `cpu`, `gpu` (this machine's, under any name), or a backend's own name"),
        FieldPolicy.NAME,
        Column("device_asked"),
    ] = "auto"
    threads: Annotated[
        int,
        Option("--threads", Group.MACHINE, WholeNumber(least=1), otherwise="by machine"),
        Doc("CPU threads per backend"),
        FieldPolicy.KEPT,
        Column(),
    ] = 0
    max_memory_bytes: Annotated[
        int | None,
        Option("--max-memory", Group.MACHINE, ByteSize(), otherwise="90 % of usable memory"),
        Doc("memory limit of a worker and its processes, e.g. 4GB", unit="byte", null="not given"),
        FieldPolicy.KEPT,
    ] = None
    affinity: Annotated[
        tuple[int, ...] | None,
        Option("--affinity", Group.MACHINE, Processors(), rare=True),
        Doc("processors that workers may use, such as 0-3,6 (Linux)", null="not given"),
        FieldPolicy.KEPT,
    ] = None
    nice: Annotated[
        int,
        Option("--nice", Group.MACHINE, WholeNumber(), rare=True),
        Doc("added to the niceness of workers"),
        FieldPolicy.KEPT,
    ] = 0
    margin: Annotated[
        float | None,
        Option("--margin", Group.JUDGMENT, Share(), otherwise="by noise"),
        Doc(
            "the smallest relative difference that counts, such as 2%",
            unit="fraction",
            null="not given: the larger of 2 % and the floor in `noise`",
        ),
        FieldPolicy.KEPT,
    ] = None
    reference_backend: Annotated[
        str | None,
        Option("--reference", Group.JUDGMENT, otherwise="by order"),
        Doc("backend that accuracy is compared with", null="not given"),
        FieldPolicy.NAME,
    ] = None
    strict: Annotated[
        bool,
        Option("--strict", Group.JUDGMENT, Switch(), rare=True),
        Doc("rank only across equal device and precision too"),
        FieldPolicy.KEPT,
    ] = False
    timeout_s: Annotated[
        float | None,
        Option("--timeout", Group.FAILURE, Seconds(), otherwise="by model size"),
        Doc("time per stage of a worker", unit="s", null="not given"),
        FieldPolicy.KEPT,
    ] = None
    retries: Annotated[
        int,
        Option("--retries", Group.FAILURE, WholeNumber(least=0)),
        Doc("times that a failed round is retried"),
        FieldPolicy.KEPT,
    ] = 0
    fail_fast: Annotated[
        bool,
        Option("--fail-fast", Group.FAILURE, Switch()),
        Doc("stop at the first failure"),
        FieldPolicy.KEPT,
    ] = False
    max_failures: Annotated[
        int | None,
        Option("--max-failures", Group.FAILURE, WholeNumber(least=0)),
        Doc("stop when more cells than this have failed", null="not given"),
        FieldPolicy.KEPT,
    ] = None
    repair: Annotated[
        bool,
        Option("--repair", Group.FAILURE, Switch()),
        Doc("replace damaged weights: download or convert them again"),
        FieldPolicy.KEPT,
    ] = False


@dataclass(frozen=True, kw_only=True)
class Request(RecordedRequest):
    """The whole request of a run: also its recordings, and steps before it.

    These fields are recorded by their effect (the clip with its source and hash, the tags), or do
    not change what is measured.
    """

    audio: Annotated[
        str | None,
        Option("--audio", Group.AUDIO),
        Doc("your own recording: a file, a folder or 'pattern*' of files, or an https address"),
    ] = None
    reference_text: Annotated[
        str | None,
        Option("--reference-text", Group.AUDIO, otherwise="NAME.txt beside NAME.mp3"),
        Doc("the text spoken in the recording, for its WER: a text file, or the words"),
    ] = None
    clip: Annotated[
        str | None,
        Option("--clip", Group.AUDIO, otherwise="short"),
        Doc("a built-in clip: short, cities or long"),
    ] = None
    manifest: Annotated[
        Path | None,
        Option("--manifest", Group.AUDIO, FilePath()),
        Doc("list (JSON lines, CSV): audio_filepath, text, lang, offset, duration, speaker"),
    ] = None
    dataset: Annotated[
        str | None,
        Option("--dataset", Group.AUDIO),
        Doc("a dataset: librispeech:SPLIT[:n=N] or hf:ORG/NAME@REVISION[:SPLIT][:n=N]"),
    ] = None
    download: Annotated[
        bool,
        Option("--download", Group.AUDIO, Switch()),
        Doc("let --dataset download what is missing"),
    ] = False
    language: Annotated[
        str | None,
        Option("--language", Group.AUDIO, SpokenLanguage(), short="-l"),
        Doc("language spoken in the recordings, such as en; auto leaves it to the backends"),
    ] = None
    mic: Annotated[
        bool,
        Option("--mic", Group.AUDIO, Switch(), rare=True),
        Doc("record from the microphone until Enter is pressed"),
    ] = False
    mic_seconds: Annotated[
        float | None,
        Option("--mic-seconds", Group.AUDIO, Seconds(), rare=True),
        Doc("record from the microphone for this long", unit="s"),
    ] = None
    keep_recording: Annotated[
        bool,
        Option("--keep-recording", Group.AUDIO, Switch(), rare=True),
        Doc("save what the microphone records with the run"),
    ] = False
    max_download_bytes: Annotated[
        int,
        Option("--max-download", Group.AUDIO, ByteSize(), rare=True),
        Doc("give up on an --audio address that sends more", unit="byte"),
    ] = MAX_DOWNLOAD_BYTES
    allow_http: Annotated[
        bool,
        Option("--allow-http", Group.AUDIO, Switch(), rare=True),
        Doc("let --audio fetch from an http address"),
    ] = False
    managed: Annotated[
        bool,
        Option("--managed", Group.MACHINE, Switch()),
        Doc("run every backend from its own environment"),
    ] = False
    install: Annotated[
        bool,
        Option("--install", Group.MACHINE, Switch()),
        Doc("install missing backends first"),
    ] = False
    pull: Annotated[
        bool,
        Option("--pull", Group.MACHINE, Switch()),
        Doc("fetch missing weights first"),
    ] = False
    resume: Annotated[
        str | None,
        Option("--resume", Group.FAILURE, Newest()),
        Doc("resume an unfinished run of the same request: the newest, or RUN"),
    ] = None
    tags: Annotated[
        tuple[str, ...],
        Option("--tag", Group.OUTPUT, Several(each=TagName())),
        Doc("give the run a name; can be repeated"),
    ] = ()

    @property
    def records(self) -> bool:
        """Whether the microphone is the source of the audio."""
        return self.mic or self.mic_seconds is not None

    @property
    def limited_otherwise(self) -> bool:
        """As the function of that name."""
        return limited_otherwise(self)

    @property
    def adaptive(self) -> bool:
        """Whether a rule decides during the run how many rounds there are."""
        return self.limited_otherwise or self.rounds is None

    @property
    def planned_rounds(self) -> int:
        """The most rounds there will be, retaken ones left out."""
        if self.limited_otherwise:
            return max(first_rounds(self), self.max_rounds)
        return self.rounds or OPEN_PAIRS_ROUNDS

    @property
    def decode_contract(self) -> DecodeContract:
        """The contract that backends are held to."""
        values: dict[str, Any] = self.contract
        return DecodeContract(**values)


def limited_otherwise(request: RecordedRequest) -> bool:
    """Whether ``--budget`` or ``--ci-width`` limits a run, and not the time of its cells."""
    return request.budget_s is not None or request.ci_width is not None


def first_rounds(request: RecordedRequest) -> int:
    """The rounds that a request asks for in any case."""
    return request.rounds or DEFAULT_ROUNDS


OPTIONS: Mapping[str, Option] = declarations(Request, Option)
DOCS: Mapping[str, Doc] = declarations(Request, Doc)
"""Field → its option and its meaning, in the order of declaration."""


def default_of(name: str) -> Any:
    """The default of a field; ``None`` if the field is required."""
    declared: Field[Any] = Request.__dataclass_fields__[name]
    if declared.default_factory is not MISSING:
        return declared.default_factory()
    return None if declared.default is MISSING else declared.default


def help_of(name: str) -> str:
    """A field's meaning as a sentence, for ``--help`` and the reference."""
    meaning = DOCS[name].meaning
    return f"{meaning[0].upper()}{meaning[1:]}."


def from_keywords(**given: Any) -> Request:
    """A request of Python values, checked as the command line checks what is typed.

    Shares are fractions, times are seconds and sizes are bytes. ``None`` is as if left out.

    Raises:
        TypeError: an option that does not exist.
        UsageError: a value that no run can be made with.
    """
    for name in given:
        if name not in OPTIONS:
            import difflib  # only for a mistake

            near = difflib.get_close_matches(name, OPTIONS, n=1)
            raise TypeError(
                f"run() has no option {name}" + (f"; did you mean {near[0]}?" if near else "")
            )
    return Request(
        **{
            name: OPTIONS[name].kind.check(value, name)
            for name, value in given.items()
            if value is not None
        }
    )
