"""Where the numbers come from: how to measure again, on what, with what, and the rules."""

from __future__ import annotations

from collections.abc import Sequence

from mac_whisper_speedtest.compare import sample_deltas
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.report import reproduce
from mac_whisper_speedtest.report.html import cells as named
from mac_whisper_speedtest.report.html import tables
from mac_whisper_speedtest.report.html.markup import Html, join, tag
from mac_whisper_speedtest.report.html.tables import Column, Row
from mac_whisper_speedtest.report.numbers import MISSING
from mac_whisper_speedtest.results import comparable
from mac_whisper_speedtest.results.schema import MachineInfo, NoiseInfo, Run, WeightsInfo

_GIB = 1 << 30


def reproduction(run: Run) -> Html:
    """The command, the machine, the versions, and the hashes of what went in."""
    manifest = run.manifest
    how = reproduce.of(manifest)
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
        ("seed of the order", str(manifest.request.seed)),
        ("speech", speech),
        ("request SHA-256", manifest.request_sha256),
        ("comparable with", f"runs of the key {comparable.of(manifest).key}"),
        ("run id", manifest.run_id),
        ("tags", ", ".join(manifest.tags)),
        ("repaired weights", "; ".join(map(scrub, manifest.repaired))),
        ("manifest SHA-256", digests.manifest if digests else ""),
        ("journal SHA-256", digests.journal if digests else ""),
    ]
    return join(
        [
            tag(
                "p",
                "With the same version of the tool and the same backends, this measures it again:",
            ),
            tag("pre", tag("code", how.line), tabindex="0", aria_label="the command"),
            tag("ul", *(tag("li", scrub(note)) for note in how.notes)) if how.notes else "",
            definitions([(name, value) for name, value in facts if value]),
            _backends(run),
            _weights(run),
        ]
    )


def definitions(facts: Sequence[tuple[str, str]]) -> Html:
    """Names and what they stand for."""
    return tag(
        "dl",
        *(join([tag("dt", name), tag("dd", value)]) for name, value in facts),
        class_="facts",
    )


def _machine(machine: MachineInfo) -> str:
    memory = f"{machine.memory_bytes / _GIB:.1f} GiB" if machine.memory_bytes else "memory unknown"
    gpus = ", ".join(machine.gpus) if machine.gpus else "no GPU known"
    cores = f"{machine.physical_cores or '?'} cores, {machine.logical_cores or '?'} threads"
    return (
        f"{machine.cpu or 'processor unknown'} ({machine.architecture}), {cores}, {memory}, {gpus}"
        f"; {machine.os} {machine.os_version}, Python {machine.python}"
    )


def _backends(run: Run) -> Html:
    rows = []
    for cell in run.cells:
        backend = cell.backend
        versions = ", ".join(f"{name} {version}" for name, version in backend.versions.items())
        details = ", ".join(f"{name}: {scrub(value)}" for name, value in backend.details.items())
        rows.append(
            Row(
                [
                    named.label_of(cell, run),
                    backend.version or MISSING,
                    backend.device or MISSING,
                    backend.precision or MISSING,
                    versions or MISSING,
                    details or MISSING,
                ]
            )
        )
    columns = (
        Column("cell"),
        Column("version"),
        Column("device"),
        Column("precision"),
        Column("libraries", long=True),
        Column("details", long=True),
    )
    return tables.table(columns, [rows], caption="Backends as they were found")


def _weights(run: Run) -> Html:
    found: dict[tuple[str, str, str], WeightsInfo] = {}
    for cell in run.cells:
        one = cell.model.weights
        if one is not None:
            found.setdefault((one.model, one.form, one.precision), one)
    if not found:
        return Html("")
    rows = [
        Row(
            [
                one.model,
                one.form or MISSING,
                one.precision,
                scrub(one.source),
                comparable.network_sha256(one) or MISSING,
                join((f"{name} {digest}" for name, digest in one.files.items()), tag("br")),
            ],
        )
        for one in found.values()
    ]
    columns = (
        Column("model"),
        Column("form"),
        Column("precision"),
        Column("source", long=True),
        Column("network SHA-256", long=True),
        Column("files, SHA-256", long=True),
    )
    return tag(
        "details",
        tag("summary", "Weights and their hashes"),
        tables.table(columns, [rows], caption="Weights that were used"),
    )


def method(run: Run) -> Html:
    """What intervals, places and verdicts rest on, in few words."""
    margin = sample_deltas.margin(run.manifest)
    level = sample_deltas.ranking_level(run)
    rounds = (
        "A round is a fresh process and gives one number for each cell: the median of its timed "
        "samples. Samples of one process are no replicates, so intervals come from rounds."
    )
    intervals = (
        "The interval of an RTFx at 95 % is between two of the rounds themselves (sign test); it "
        "takes 6 rounds. The interval of “× best” is of ratios paired by round (Wilcoxon's signed "
        "ranks; Student's t where so few rounds cannot reach the level); it takes 3."
    )
    places = (
        "All pairs of a group are judged at once, so that every interval of the ranking is right "
        f"together with a probability of {level * 100:.4g} %. Hence places such as 1–3."
    )
    words = (
        f"FASTER and SLOWER mean that the whole interval is beyond {margin:.1%}; SAME that all of "
        "it is within; AMBIGUOUS that it is neither."
    )
    wrong = (
        "A cell is too wrong for its speed to count where its error rate is certainly more than "
        "one point above that of the reference backend (paired bootstrap over recordings)."
    )
    whole = "The whole of it is told in docs/methodology.md, which comes with the tool."
    lines = [rounds, intervals, places, words, _margin(run, margin), wrong, whole]
    if run.decisions:
        lines.append(f"The run ended because {run.decisions[-1].reason}.")
    return tag("ul", *(tag("li", line) for line in lines))


def _margin(run: Run, margin: float) -> str:
    noise = run.manifest.noise
    if run.manifest.request.margin is not None:
        return f"The margin of {margin:.1%} was asked for. {_floor(noise)}"
    if noise is None:
        return f"The margin is 2 %. {_floor(noise)}"
    return f"The margin is the larger of 2 % and the noise floor. {_floor(noise)}"


def _floor(noise: NoiseInfo | None) -> str:
    if noise is None:
        return "The noise floor of this machine was not measured: speedtest noise."
    return (
        f"The noise floor is {noise.floor:.1%}: {noise.backend} {noise.model} against itself in "
        f"{noise.rounds} rounds differed by as much ({noise.measured_at})."
    )
