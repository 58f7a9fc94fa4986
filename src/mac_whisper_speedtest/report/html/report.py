"""The report of one run as one page: headlines, all sections, provenance and method."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from mac_whisper_speedtest.limits import LONGEST_MESSAGE
from mac_whisper_speedtest.printable import clipped
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.report import headlines, reproduce
from mac_whisper_speedtest.report.html import evidence, resources, samples, transcripts
from mac_whisper_speedtest.report.html import speed as speed_sections
from mac_whisper_speedtest.report.html.page import Limits, page, render
from mac_whisper_speedtest.report.html.transcripts import AlignedTexts
from mac_whisper_speedtest.report.tables import Field, ReportTable, TableColumn, TableRow
from mac_whisper_speedtest.results import comparable
from mac_whisper_speedtest.results.cells import (
    MISSING,
    labels_of,
    measured_amount,
    percent,
    shown_tables,
    used_gpus,
)
from mac_whisper_speedtest.results.schema import (
    MachineInfo,
    Run,
    WeightsInfo,
)
from mac_whisper_speedtest.summary import ranking

# Provenance and method.

_GIB = 1 << 30


def provenance_section(run: Run) -> Markup:
    """The command, the machine, the versions, and the hashes of all inputs."""
    manifest = run.manifest
    how = reproduce.reproduction_of(manifest)
    tool = manifest.tool
    commit = f", commit {tool.git_sha}" if tool.git_sha else ""
    libraries = ", ".join(f"{name} {version}" for name, version in manifest.libraries.items())
    speech = "; ".join(
        f"{clip.name} ({clip.seconds:.1f} s, {scrub(clip.source)}), PCM {clip.pcm_sha256}"
        for clip in manifest.clips
    )
    digests = run.digests
    facts = [
        ("tool", f"{tool.name} {tool.version}{commit}, schema {manifest.schema_version}"),
        ("its libraries", libraries),
        ("machine", _machine(manifest.machine)),
        ("all workers", "; ".join(map(scrub, manifest.host))),
        ("seed of the order", str(manifest.request.seed)),
        ("speech", speech),
        ("request SHA-256", manifest.request_sha256),
        ("comparable with", f"runs of the key {comparable.comparable_part(manifest).key}"),
        ("run id", manifest.run_id),
        ("tags", ", ".join(manifest.tags)),
        ("repaired weights", "; ".join(map(scrub, manifest.repaired))),
        ("manifest SHA-256", digests.manifest if digests else ""),
        ("journal SHA-256", digests.journal if digests else ""),
    ]
    return render(
        "provenance.html",
        command=how.line,
        notes=[scrub(note) for note in how.notes],
        facts=[(name, clipped(value, LONGEST_MESSAGE)) for name, value in facts if value],
        backends=_backends(run),
        weights=_weights(run),
    )


def _machine(machine: MachineInfo) -> str:
    memory = f"{machine.memory_bytes / _GIB:.1f} GiB" if machine.memory_bytes else "memory unknown"
    nvidia = [comparable.gpu_words(gpu) for gpu in machine.nvidia or ()]
    gpus = ", ".join(nvidia or machine.gpus or ["no GPU known"])
    if machine.nvidia_driver:
        gpus += f", driver {machine.nvidia_driver} (CUDA {machine.cuda or 'unknown'})"
    if machine.gpu_cores:
        gpus += f" with {machine.gpu_cores} cores"
    cores = f"{machine.physical_cores or '?'} cores, {machine.logical_cores or '?'} threads"
    model = f"{machine.hardware_model}, " if machine.hardware_model else ""
    return (
        f"{model}{machine.cpu or 'processor unknown'} ({machine.architecture}), {cores}, {memory}, "
        f"{gpus}; {comparable.system_of(machine)}, Python {machine.python}"
    )


def _backends(run: Run) -> ReportTable:
    labels = labels_of(run.cells)
    rows = []
    for cell in run.cells:
        backend = cell.backend
        versions = ", ".join(f"{name} {version}" for name, version in backend.versions.items())
        details = ", ".join(f"{name}: {scrub(value)}" for name, value in backend.details.items())
        rows.append(
            TableRow(
                [
                    labels[cell.id],
                    backend.version or MISSING,
                    " on ".join(filter(None, [backend.device, *used_gpus(cell)])) or MISSING,
                    backend.precision or MISSING,
                    versions or MISSING,
                    details or MISSING,
                ]
            )
        )
    columns = (
        *map(TableColumn, ("cell", "version", "device", "precision")),
        TableColumn("libraries", long=True),
        TableColumn("details", long=True),
    )
    return ReportTable(columns, [rows], caption="Backends as reported")


def _weights(run: Run) -> ReportTable | None:
    found: dict[tuple[str, str, str], WeightsInfo] = {}
    for cell in run.cells:
        info, one = cell.model.info, cell.model.weights
        if one is not None:
            found.setdefault((cell.model.name, info.format, info.precision), one)
    if not found:
        return None
    rows = [
        TableRow(
            [
                model,
                form or MISSING,
                precision or MISSING,
                scrub(one.source),
                comparable.network_sha256(one) or MISSING,
                Field(
                    "\n".join(f"{name} {digest}" for name, digest in one.files.items()),
                    class_="lines",
                ),
            ],
        )
        for (model, form, precision), one in found.items()
    ]
    columns = (
        *map(TableColumn, ("model", "format", "precision")),
        TableColumn("source", long=True),
        TableColumn("network SHA-256", long=True),
        TableColumn("files, SHA-256", long=True),
    )
    return ReportTable(columns, [rows], caption="Weights")


def method_section(run: Run) -> Markup:
    """How intervals, ranks and verdicts are computed, in short."""
    return render(
        "method.html",
        level=ranking.level_of(run),
        margin=percent(ranking.margin(run.manifest)),
        margin_requested=run.manifest.request.margin is not None,
        noise=run.manifest.noise,
        ended=run.decisions[-1].reason if run.decisions else "",
    )


MOST_BYTES = 1_400_000
"""Size limit of a page, so that it can be mailed and opened on a phone."""


def render_report(run: Run, *, label: str = "", limits: Limits | None = None) -> str:
    """The page of a run. The same run gives the same page.

    While it is too large, samples, texts and lists are halved; the page states what is omitted.

    Args:
        run: with its figures.
        label: the name of the run, such as its number.
        limits: to begin with.

    Raises:
        ValueError: the run has no figures.
    """
    limits = limits or Limits()
    compared = transcripts.compare(run, limits.recordings)
    while True:
        made = _page(run, compared, label, limits)
        smaller = limits.halved()
        if len(made.encode()) <= MOST_BYTES or smaller == limits:
            return made
        limits = smaller


def _page(run: Run, compared: Sequence[AlignedTexts], label: str, limits: Limits) -> str:
    sections: list[tuple[str, str, Callable[[], Markup]]] = [
        ("ranking", "Ranking", lambda: speed_sections.ranking_section(run)),
        ("accuracy", "Speed against errors", lambda: speed_sections.pareto_section(run)),
        ("scaling", "By length of the audio", lambda: speed_sections.scaling_section(run)),
        ("memory", "Memory", lambda: resources.memory_section(run)),
        ("energy", "Energy", lambda: resources.energy_section(run, limits)),
        ("readiness", "Loading", lambda: resources.readiness_section(run)),
        ("findings", "Findings", lambda: evidence.findings_section(run, limits)),
        ("failures", "Failures", lambda: evidence.failures_section(run, limits)),
        ("left-out", "Omitted recordings", lambda: evidence.left_out_section(run, limits)),
        ("contract", "Equal work", lambda: evidence.contract_section(run, limits)),
        ("all-samples", "Every sample", lambda: samples.samples_section(run, limits)),
        ("texts", "Transcripts", lambda: transcripts.transcripts_section(compared, limits)),
        ("conditions", "The machine", lambda: resources.conditions_section(run, limits)),
        ("reproduce", "Reproduce", lambda: provenance_section(run)),
        ("method", "Method", lambda: method_section(run)),
    ]
    title = _title(run)
    body = render(
        "report.html",
        title=title,
        facts=_facts(run, label),
        verdicts=[
            {
                "title": table.title,
                "lines": [
                    *headlines.answers(table),
                    *headlines.details(table),
                    *headlines.detectable(table.cells),
                ],
                "failed": any(cell.status != "ok" for cell in table.cells),
            }
            for table in shown_tables(run)
        ],
        sections=[
            (name, heading, content)
            for name, heading, make in sections
            if (content := make().strip())
        ],
    )
    return page(title=f"{title} – speedtest", body=body)


def _title(run: Run) -> str:
    shown = shown_tables(run)
    measured = [
        table for table in shown if any(cell.status != "unavailable" for cell in table.cells)
    ]
    tables = measured or shown
    models = ", ".join(dict.fromkeys(table.model for table in tables))
    clips = ", ".join(dict.fromkeys(table.clip.name for table in tables))
    return f"Speed of {models} on {clips}"


def _facts(run: Run, label: str) -> list[tuple[str, str]]:
    manifest = run.manifest
    request = manifest.request
    outcome = manifest.outcome
    speech = "; ".join(
        f"{clip.name}, {clip.seconds:.1f} s"
        + (f" in {len(clip.utterances)} recordings" if clip.utterances else "")
        + (f" in {', '.join(clip.languages)}" if clip.languages else "")
        for clip in manifest.clips
    )
    whole_set = any(clip.utterances for clip in manifest.clips)
    measured = measured_amount(run, whole_set=whole_set)
    requested = f"contract {request.contract.get('name')}, {measured}, {request.threads} threads"
    started = manifest.started_at.replace("T", " ").replace("+00:00", " UTC")
    return [
        ("run", f"{label or manifest.run}, {started}"),
        ("machine", comparable.hardware_class(manifest.machine)),
        ("speech", clipped(speech, LONGEST_MESSAGE)),
        ("requested", requested),
        ("tool", f"{manifest.tool.name} {manifest.tool.version}"),
        ("ended", outcome.state if outcome else "unknown"),
    ]
