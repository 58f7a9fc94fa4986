"""The objects that commands print with ``--json``, other than runs and comparisons.

Their fields are declared here with their meanings, from which docs/reference/json.md is made.
"""

from __future__ import annotations

from typing import Annotated, TypedDict

from mac_whisper_speedtest.declared import Doc


class ModelFile(TypedDict):
    """A file of a model, as known before anything is fetched."""

    name: Annotated[str, Doc("its path in the repository or folder")]
    size_bytes: Annotated[int | None, Doc("its size", "byte", "learned at the first pull")]
    sha256: Annotated[str | None, Doc("its SHA-256", "", "learned at the first pull")]


class FileBeside(ModelFile):
    """The published file that a conversion needs next to it."""

    repository: Annotated[str, Doc("where it is published")]
    revision: Annotated[str | None, Doc("the commit there", "", "not pinned")]


class ModelLocation(TypedDict):
    """A place where the weights can be, and its state."""

    kind: Annotated[str, Doc("one of the words under *Location kind*")]
    where: Annotated[str, Doc("what it is called")]
    holds: Annotated[str, Doc("what a copy there is")]
    used_by_run: Annotated[bool, Doc("whether a run takes weights from there; the first one wins")]
    path: Annotated[str | None, Doc("where that is on this machine", "", "not installed")]
    state: Annotated[str, Doc("of the copy: one of the words under *Weights state*")]
    size_bytes: Annotated[int, Doc("of the existing files", "byte")]


class StageTimeout(TypedDict):
    """How long a stage may take."""

    base_s: Annotated[float, Doc("however short the audio", "s")]
    per_audio_s: Annotated[float, Doc("more for every second of audio", "s")]


class ModelFacts(TypedDict):
    """`speedtest backends info NAME --model MODEL --json`: a model as one backend sees it."""

    backend: Annotated[str, Doc("the backend, with version and precision if the name has them")]
    model: Annotated[str, Doc("the network that it runs; its own for one that is not Whisper")]
    family: Annotated[str, Doc("`whisper`, `parakeet`, `moonshine` or `apple-speech`")]
    format: Annotated[str, Doc("the weights format; empty if the backend brings its own weights")]
    precision: Annotated[str, Doc("what the weights that it is given are stored in")]
    license: Annotated[str, Doc("of the weights")]
    obtained: Annotated[str, Doc("how this tool gets them; empty if there are no such weights")]
    unavailable: Annotated[str, Doc("why it is not published in this format; empty if it is")]
    repository: Annotated[str, Doc("where the files come from")]
    revision: Annotated[str | None, Doc("the commit there", "", "taken at the first pull")]
    url: Annotated[str, Doc("where they come from, if it is no repository")]
    tokenizer: Annotated[str, Doc("a second repository at its commit; empty if there is none")]
    beside: Annotated[FileBeside | None, Doc("a published part", "", "all is converted")]
    known_bytes: Annotated[int | None, Doc("of all files that a pull fetches", "byte", "not known")]
    files: Annotated[list[ModelFile], Doc("those files that are known")]
    locations: Annotated[list[ModelLocation], Doc("where the weights can be, in order")]
    size_class: Annotated[str, Doc("from which the time-outs come")]
    timeouts: Annotated[dict[str, StageTimeout], Doc("of `load`, `first_call` and `transcribe`")]
    replaced_by_timeout: Annotated[
        dict[str, list[str]], Doc("which of them `--timeout` of a command replaces")
    ]


class CheckedCopy(TypedDict):
    """A location that was examined."""

    where: Annotated[str, Doc("what it is called")]
    path: Annotated[str, Doc("where that is on this machine")]
    for_run: Annotated[bool, Doc("whether a run takes weights from there")]
    state: Annotated[str, Doc("one of the words under *Weights state*")]
    problems: Annotated[list[str], Doc("what is missing or wrong")]
    remarks: Annotated[list[str], Doc("what else was seen, such as another revision")]
    size_bytes: Annotated[int, Doc("of the existing files", "byte")]


class CheckedLoad(TypedDict):
    """What a load showed."""

    outcome: Annotated[str, Doc("one of the words under *Load outcome*")]
    seconds: Annotated[float | None, Doc("of the load, or until it failed", "s", "not started")]
    error_class: Annotated[str, Doc("an exception's class, or a signal's name")]
    message: Annotated[str, Doc("one line for people")]
    hosts: Annotated[list[str], Doc("hosts that were requested and refused")]
    version: Annotated[str, Doc("of the backend's library")]
    network_not_blocked: Annotated[str, Doc("why it could not be blocked; empty if it was")]
    remembered: Annotated[bool, Doc("whether an earlier check found this")]


class CheckedWeights(TypedDict):
    """The weights of one model for one backend."""

    backend: Annotated[str, Doc("whose weights")]
    model: Annotated[str, Doc("the network")]
    format: Annotated[str, Doc("the weights format")]
    precision: Annotated[str, Doc("what they are stored in")]
    state: Annotated[str, Doc("of the copy that a run would use; else of the best other copy")]
    evidence: Annotated[str | None, Doc("what `complete` rests on", "", "not `complete`")]
    problems: Annotated[list[str], Doc("what is missing or wrong")]
    size_bytes: Annotated[int | None, Doc("of that copy's files", "byte", "there is none")]
    can_be_made_here: Annotated[bool, Doc("whether it can be made from what is on this machine")]
    next: Annotated[str, Doc("what to do; empty if nothing")]
    copies: Annotated[list[CheckedCopy], Doc("every location that was examined")]
    load: Annotated[CheckedLoad | None, Doc("what a load showed", "", "not loaded")]


class NeededPublication(TypedDict):
    """Published files that are missing here."""

    model: Annotated[str, Doc("the network")]
    format: Annotated[str, Doc("the weights format")]
    place: Annotated[str, Doc("the repository at its commit, or an address")]
    bytes: Annotated[int | None, Doc("to fetch", "byte", "not known")]


class NeededDownload(TypedDict):
    """What `--download` would fetch."""

    bytes: Annotated[int, Doc("known sizes together; each publication counts once", "byte")]
    of_unknown_size: Annotated[int, Doc("how many publications have no known size")]
    seconds: Annotated[float | None, Doc("at the speed of earlier pulls", "s", "not known")]
    seconds_reason: Annotated[str | None, Doc("why it is not known", "", "it is known")]
    publications: Annotated[list[NeededPublication], Doc("what to fetch")]


class FreeDisk(TypedDict):
    """The disk of the Hugging Face cache."""

    free_bytes: Annotated[int | None, Doc("free", "byte", "not known")]


class CheckDocument(TypedDict):
    """`speedtest check-models --json`."""

    schema_version: Annotated[int, Doc("1")]
    method: Annotated[str, Doc("one of the words under *Check method*")]
    rows: Annotated[list[CheckedWeights], Doc("one per backend and model")]
    totals: Annotated[dict[str, int], Doc("rows by state")]
    download: Annotated[NeededDownload, Doc("what `--download` would fetch")]
    disk: Annotated[FreeDisk, Doc("the disk of the Hugging Face cache")]
    stages_s: Annotated[dict[str, float], Doc("seconds by stage of the check", "s")]


class VerifiedCopy(TypedDict):
    """A copy that was read."""

    model: Annotated[str, Doc("the network")]
    format: Annotated[str, Doc("the weights format")]
    precision: Annotated[str, Doc("what it is stored in")]
    where: Annotated[str, Doc("what its location is called")]
    path: Annotated[str, Doc("where that is on this machine")]
    size_bytes: Annotated[int, Doc("of its files", "byte")]
    outcome: Annotated[str, Doc("one of the words under *Read outcome*")]
    problems: Annotated[list[str], Doc("which file differs, expected and found")]
    files_without_hash: Annotated[list[str], Doc("files of which no hash is known")]


class VerifyDocument(TypedDict):
    """`speedtest models verify --json`."""

    schema_version: Annotated[int, Doc("1")]
    copies: Annotated[list[VerifiedCopy], Doc("every copy that was read")]
    nowhere: Annotated[list[str], Doc("named models without a copy")]


class DoctorLine(TypedDict):
    """One fact about the machine, judged."""

    topic: Annotated[str, Doc("its fixed name; no topic appears twice")]
    state: Annotated[str, Doc("one of the words under *Readiness*")]
    seen: Annotated[str, Doc("what was found, for people; it may be reworded")]
    next: Annotated[str, Doc("what to type or to do; empty when there is nothing")]


class DoctorDocument(TypedDict):
    """`speedtest doctor --json`."""

    schema_version: Annotated[int, Doc("1")]
    fit: Annotated[bool, Doc("whether no line's state is `fail`")]
    lines: Annotated[
        list[DoctorLine], Doc("what was judged; which lines there are depends on the machine")
    ]
