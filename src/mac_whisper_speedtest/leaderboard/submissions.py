"""What one run brings to a leaderboard: its cells, with figures made of its samples alone."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mac_whisper_speedtest.accuracy.score import Score
from mac_whisper_speedtest.backends.contract import SETTING_NAMES, SettingValue
from mac_whisper_speedtest.results import comparable, journal
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import without_version
from mac_whisper_speedtest.stats import intervals
from mac_whisper_speedtest.summary import accuracy as rightness
from mac_whisper_speedtest.summary import ranking, samples

# Whether two files tell of the same run, and tell the same of it: digests of what it measured.


def content_digest(run: s.Run) -> str:
    """SHA-256 over what a run's speeds depend on.

    Without what a bundle leaves out, scrubs or names otherwise, so that a run's directory and its
    bundles, with texts or without, are known to be of the same run. Raises StorageError.
    """
    request = run.manifest.request
    return journal.sha256(
        [
            comparable.hardware_class(run.manifest.machine),
            request.contract,
            [request.threads, request.affinity, request.nice],
            [[each.round, each.replaced_by] for each in run.rounds],
            [
                [
                    [
                        cell.backend.name,
                        cell.backend.version,
                        cell.model.name,
                        cell.clip.pcm_sha256,
                    ],
                    comparable.network_sha256(cell.model.weights),
                    cell.contract.effective,
                    [[end.round, end.attempt, end.status] for end in cell.endings],
                    [_timing(each) for each in cell.samples],
                    [[load.round, load.attempt, load.rung, load.load_s] for load in cell.loads],
                    [
                        [m.round, sorted((n, r.value) for n, r in m.readings.items())]
                        for m in cell.meters
                    ],
                ]
                for cell in run.cells
            ],
        ]
    )


def timings_alone(run: s.Run) -> str:
    """SHA-256 over all seconds, whoever took them; empty where there are none."""
    seconds = sorted(sample.seconds for cell in run.cells for sample in cell.samples)
    return journal.sha256(seconds) if seconds else ""


def _timing(each: s.SampleResult) -> list[object]:
    which = [each.round, each.attempt, each.index, each.kind, each.retaken]
    return [which, each.seconds, bool(each.failed), each.peak_rss_bytes]


def texts(run: s.Run) -> str:
    """SHA-256 over what was said and heard; empty where a bundle was made without it."""
    heard = [sample.text for cell in run.cells for sample in cell.samples]
    said = [each.reference for clip in run.manifest.clips for each in samples.recordings(clip)]
    return journal.sha256([heard, said]) if any(heard) or any(said) else ""


@dataclass(frozen=True, slots=True)
class Workload:
    """What was to be done, and on what kind of machine: a board has the entries of one of these.

    Attributes:
        hardware: the class of the machine, in words.
        contract: SHA-256 of the settings that were asked for.
        model: canonical name.
        network: hash of its weights, whatever form they have; empty where none are known.
        speech: SHA-256 of the samples that backends were fed.
        words: SHA-256 of the reference texts; error rates by other texts are no comparison. Empty
            where none are known.
    """

    hardware: str
    contract: str
    model: str
    network: str
    speech: str
    words: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """What did the work. ``None`` is not known, as of a backend that crashed before it could say.

    Attributes:
        backend: without its version; ``:int8`` and the like stay.
        version: as it was found.
        device: as it was found.
        precision: as it was found.
        threads: how many were asked for, and where it applies on how many processors, how nice.
    """

    backend: str
    version: str | None
    device: str | None
    precision: str | None
    threads: str


@dataclass(frozen=True, slots=True)
class SubmittedCell:
    """One cell of one bundle.

    Attributes:
        bundle: whose.
        work: what was to be done.
        runner: what did it.
        status: of the cell.
        settings: what it really decoded with, as JSON; equal for equal work.
        deviations: each setting in which that is not what was asked for, in words.
        rtf: round → processing seconds per audio second; empty unless the status is ``ok``.
        low: the lower end of RTFx's interval from these rounds; ``None`` with too few.
        high: the upper end.
        metric: ``wer`` or ``cer``; empty where no words are known.
        error_rate: of the texts.
        wrong: whether its own run's accuracy gate calls it worse.
        score: kept only where its own run had nothing to compare it with.
        peak_rss_bytes: of the worker; ``None`` where it was not measured, as in the next four.
        device_memory_bytes: likewise.
        joules_per_audio_hour: likewise.
        energy_quality: how far that is to be trusted.
        load_s: seconds to load the weights.
    """

    bundle: str
    work: Workload
    runner: Configuration
    status: str
    settings: str
    deviations: tuple[str, ...]
    rtf: dict[int, float]
    low: float | None
    high: float | None
    metric: str
    error_rate: float | None
    wrong: bool
    score: Score | None
    peak_rss_bytes: int | None
    device_memory_bytes: int | None
    joules_per_audio_hour: float | None
    energy_quality: str
    load_s: float | None


@dataclass(frozen=True, slots=True)
class BoardSpeech:
    """The audio of a board. ``kind`` is that of ``ClipInfo``; ``seconds`` its length."""

    name: str
    seconds: float
    kind: str
    recordings: int


@dataclass(frozen=True, slots=True)
class Submission:
    """One bundle, or one run directory.

    Attributes:
        name: its run's id where it has one, else ``content``.
        content: SHA-256 over what its speeds depend on; the same for a run and its bundles.
        texts: SHA-256 over what was said and heard; empty for a bundle made without texts.
        samples: SHA-256 over its timings alone; empty where it has none.
        started_at: as the run says.
        hardware: the class of its machine.
        os_version: as the run says.
        python: likewise.
        tool: version of the tool that measured.
        contracts: SHA-256 → the settings asked for.
        speech: SHA-256 → what it is.
        margin: the relative difference below which its run ranks nothing.
        level: of the intervals that its run ranks by.
        entries: its cells.
    """

    name: str
    content: str
    texts: str
    samples: str
    started_at: str
    hardware: str
    os_version: str
    python: str
    tool: str
    contracts: dict[str, dict[str, SettingValue]]
    speech: dict[str, BoardSpeech]
    margin: float
    level: float
    entries: tuple[SubmittedCell, ...]


def submission_of(run: s.Run) -> Submission:
    """What ``run`` brings.

    Args:
        run: with summaries that were computed by this program, from its samples, just now
            (``summary.summarize``); those of a file are never to be handed in.

    Raises:
        StorageError: something in it has no form in JSON.
        ValueError: its samples are not what can be measured.
    """
    manifest = run.manifest
    content = content_digest(run)
    name = manifest.run_id
    shared = comparable.comparable_part(manifest)
    return Submission(
        name=name,
        content=content,
        texts=texts(run),
        samples=timings_alone(run),
        started_at=manifest.started_at,
        hardware=shared.hardware,
        os_version=f"{manifest.machine.os} {manifest.machine.os_version}",
        python=manifest.machine.python,
        tool=manifest.tool.version,
        contracts={shared.contract: manifest.request.contract},
        speech={clip.pcm_sha256: _speech(clip) for clip in manifest.clips},
        margin=ranking.margin(manifest),
        level=run.decisions[-1].level if run.decisions else intervals.LEVEL,
        entries=tuple(_entry(run, cell, name, _work(cell, shared)) for cell in run.cells),
    )


def _speech(clip: s.ClipInfo) -> BoardSpeech:
    return BoardSpeech(clip.name, clip.seconds, clip.kind, len(clip.utterances))


def _work(cell: s.CellResult, shared: comparable.Comparable) -> Workload:
    # A cell that never found its weights was to be run with the network of the others.
    weights = comparable.network_sha256(cell.model.weights)
    words = [[each.pcm_sha256, each.reference] for each in samples.recordings(cell.clip)]
    return Workload(
        hardware=shared.hardware,
        contract=shared.contract,
        model=cell.model.name,
        network=weights or shared.networks.get(cell.model.name, ""),
        speech=cell.clip.pcm_sha256,
        words=journal.sha256(words) if any(reference for _, reference in words) else "",
    )


def _entry(run: s.Run, cell: s.CellResult, bundle: str, work: Workload) -> SubmittedCell:
    summary = cell.summary
    assert summary is not None, "summarized before"
    accuracy = summary.accuracy
    sound = cell.status == "ok"
    bounds = summary.rtfx_bounds if sound else None
    alone = accuracy is not None and accuracy.against is None
    return SubmittedCell(
        bundle=bundle,
        work=work,
        runner=_runner(run, cell),
        status=cell.status,
        settings=json.dumps({name: cell.contract.effective.get(name) for name in SETTING_NAMES}),
        deviations=tuple(
            f"{each.setting} {_said(each.effective)} instead of {_said(each.requested)}"
            for each in cell.contract.deviations
        ),
        rtf=samples.round_rtf(cell, run.rounds) if sound else {},
        low=bounds.low if bounds else None,
        high=bounds.high if bounds else None,
        metric=accuracy.metric if accuracy else "",
        error_rate=accuracy.rate if accuracy else None,
        wrong=summary.fast_but_wrong,
        score=rightness.score(cell) if alone and sound else None,
        peak_rss_bytes=summary.peak_rss_bytes,
        device_memory_bytes=summary.device_memory_bytes,
        joules_per_audio_hour=summary.joules_per_audio_hour,
        energy_quality=summary.energy_quality if summary.joules_per_audio_hour is not None else "",
        load_s=summary.load_s,
    )


def _runner(run: s.Run, cell: s.CellResult) -> Configuration:
    request = run.manifest.request
    threads = f"{request.threads}"
    if request.affinity is not None:
        threads += f" on {len(request.affinity)} processors"
    if request.nice:
        threads += f", nice {request.nice}"
    return Configuration(
        backend=without_version(cell.backend.name),
        version=cell.backend.version,
        device=cell.backend.device,
        precision=cell.backend.precision,
        threads=threads,
    )


def _said(value: SettingValue) -> str:
    return "unknown" if value is None else json.dumps(value)
