"""One run as a leaderboard takes it: its cells, with figures computed from its samples alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mac_whisper_speedtest.accuracy.score import Score
from mac_whisper_speedtest.backends.contract import SETTING_NAMES, SettingValue
from mac_whisper_speedtest.results import comparable, digests
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import without_version
from mac_whisper_speedtest.summary import accuracy, evidence, ranking, samples

# Digests: are two files of the same run, and do they agree?


def content_digest(run: s.Run) -> str:
    """SHA-256 of everything that a run's speeds depend on. Raises StorageError.

    What a bundle omits, scrubs or renames is not part of it, so a run's directory and all of its
    bundles, with or without texts, have the same digest.
    """
    request = run.manifest.request
    return digests.sha256(
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


def timings_digest(run: s.Run) -> str:
    """SHA-256 of all processing times, of whichever cell; empty without samples."""
    seconds = sorted(sample.seconds for cell in run.cells for sample in cell.samples)
    return digests.sha256(seconds) if seconds else ""


def _timing(each: s.SampleResult) -> list[object]:
    which = [each.round, each.attempt, each.index, each.kind, each.retaken]
    return [which, each.seconds, bool(each.failed), each.peak_rss_bytes, each.peak_footprint_bytes]


def texts_digest(run: s.Run) -> str:
    """SHA-256 of transcripts and references; empty for a bundle that was made without texts."""
    texts = [sample.text for cell in run.cells for sample in cell.samples]
    references = [each.reference for clip in run.manifest.clips for each in clip.recordings]
    return digests.sha256([texts, references]) if any(texts) or any(references) else ""


@dataclass(frozen=True, slots=True)
class Workload:
    """The requested work, and the kind of machine that did it. A board is of one workload.

    Attributes:
        hardware: the hardware class, in words.
        contract: SHA-256 of the requested settings.
        model: canonical name.
        network: hash of the weights in any format; empty if unknown.
        speech: SHA-256 of the PCM samples.
        words: SHA-256 of the reference texts, without which error rates cannot be compared; empty
            if there are none.
    """

    hardware: str
    contract: str
    model: str
    network: str
    speech: str
    words: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """What did the work, as reported. ``None`` is unknown: a backend may crash before it reports.

    Attributes:
        backend: without its version, with a requested precision such as ``:int8``.
        threads: the number requested, with affinity and niceness where these were requested.
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
        bundle: name of its submission.
        settings: the effective decode settings as JSON; equal for equal work.
        deviations: each setting that differs from the requested one, in words.
        rtf: round → processing seconds per audio second; empty unless the status is ``ok``.
        summary: its figures, computed from its samples.
        score: kept only if its own run had no reference to compare it with.
        doubts: what in its samples contradicts the rest of its run, in words.
    """

    bundle: str
    workload: Workload
    configuration: Configuration
    status: str
    settings: str
    deviations: tuple[str, ...]
    rtf: dict[int, float]
    summary: s.Summary
    score: Score | None
    doubts: tuple[str, ...] = ()

    @property
    def bounds(self) -> s.Bounds | None:
        """The interval of RTFx over its rounds; ``None`` with too few, or if it is not ``ok``."""
        return self.summary.rtfx_bounds if self.rtf else None


@dataclass(frozen=True, slots=True)
class BoardSpeech:
    """The audio of a board; ``kind`` is that of ``ClipInfo``."""

    name: str
    seconds: float
    kind: str
    recordings: int


@dataclass(frozen=True, slots=True)
class Submission:
    """One bundle, or one run directory.

    Attributes:
        name: the run's id if it has one, else ``content_sha256``.
        content_sha256: see :func:`content_digest`.
        texts_sha256: see :func:`texts_digest`.
        timings_sha256: see :func:`timings_digest`.
        hardware: the hardware class of its machine.
        tool: version of the tool that measured.
        contracts: SHA-256 → the requested settings.
        speech: SHA-256 of the PCM samples → the audio.
        margin: smaller relative differences are not ranked in its run.
        level: confidence level of the intervals that its run ranks by.
        signer: the public key that has signed the bundle; empty if it is not signed.
    """

    name: str
    content_sha256: str
    texts_sha256: str
    timings_sha256: str
    started_at: str
    hardware: str
    os_version: str
    python: str
    tool: str
    contracts: dict[str, dict[str, SettingValue]]
    speech: dict[str, BoardSpeech]
    margin: float
    level: float
    cells: tuple[SubmittedCell, ...]
    signer: str = ""


def submission_of(
    run: s.Run, *, journal_doubts: Mapping[str, str] = MappingProxyType({}), signer: str = ""
) -> Submission:
    """A run as a submission.

    Args:
        run: with summaries that ``summary.summarize`` has just computed from its samples. Summaries
            that were read from a file must not be passed.
        journal_doubts: cell id → how its samples contradict the times of the journal's lines.
        signer: see ``Submission``.

    Raises:
        StorageError: something in it cannot be written as JSON.
        ValueError: its samples are impossible.
    """
    manifest = run.manifest
    content = content_digest(run)
    name = manifest.run_id
    shared = comparable.comparable_part(manifest)
    return Submission(
        name=name,
        content_sha256=content,
        texts_sha256=texts_digest(run),
        timings_sha256=timings_digest(run),
        started_at=manifest.started_at,
        hardware=shared.hardware,
        os_version=comparable.system_of(manifest.machine),
        python=manifest.machine.python,
        tool=manifest.tool.version,
        contracts={shared.contract: manifest.request.contract},
        speech={clip.pcm_sha256: _speech(clip) for clip in manifest.clips},
        margin=ranking.margin(manifest),
        level=ranking.level_of(run),
        cells=tuple(
            _cell(run, cell, name, _workload(cell, shared), journal_doubts.get(cell.id, ""))
            for cell in run.cells
        ),
        signer=signer,
    )


def _speech(clip: s.ClipInfo) -> BoardSpeech:
    return BoardSpeech(clip.name, clip.seconds, clip.kind, len(clip.utterances))


def _workload(cell: s.CellResult, shared: comparable.Comparable) -> Workload:
    # A cell that found no weights was meant to run with the network of the others.
    weights = comparable.network_sha256(cell.model.weights)
    words = [[each.pcm_sha256, each.reference] for each in cell.clip.recordings]
    return Workload(
        hardware=shared.hardware,
        contract=shared.contract,
        model=cell.model.name,
        network=weights or shared.networks.get(cell.model.name, ""),
        speech=cell.clip.pcm_sha256,
        words=digests.sha256(words) if any(reference for _, reference in words) else "",
    )


def _cell(
    run: s.Run, cell: s.CellResult, bundle: str, workload: Workload, doubt: str
) -> SubmittedCell:
    summary = cell.summary
    assert summary is not None, "summarized before"
    ok = cell.status == "ok"
    unjudged = summary.accuracy is not None and summary.accuracy.against is None
    return SubmittedCell(
        bundle=bundle,
        workload=workload,
        configuration=_configuration(run, cell),
        status=cell.status,
        settings=json.dumps({name: cell.contract.effective.get(name) for name in SETTING_NAMES}),
        deviations=tuple(
            f"{each.setting} {_value(each.effective)} instead of {_value(each.requested)}"
            for each in cell.contract.deviations
        ),
        rtf=samples.round_rtf(cell, run.rounds) if ok else {},
        summary=summary,
        score=accuracy.score(cell) if unjudged and ok else None,
        doubts=(
            *([doubt] if doubt else []),
            *evidence.doubts_of_cell(cell, run.manifest.machine),
        ),
    )


def _configuration(run: s.Run, cell: s.CellResult) -> Configuration:
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


def _value(value: SettingValue) -> str:
    return "unknown" if value is None else json.dumps(value)
