"""The report of one run: everything that a reader needs to believe it, or not, in one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mac_whisper_speedtest.report import numbers
from mac_whisper_speedtest.report.html import cells as named
from mac_whisper_speedtest.report.html import (
    conditions,
    contracts,
    evidence,
    growth,
    origins,
    resources,
    samples,
    speed,
    tradeoff,
    transcripts,
    verdicts,
)
from mac_whisper_speedtest.report.html.cells import Limits
from mac_whisper_speedtest.report.html.markup import Html, join, tag
from mac_whisper_speedtest.report.html.page import page
from mac_whisper_speedtest.report.html.transcripts import Compared
from mac_whisper_speedtest.results import comparable
from mac_whisper_speedtest.results.schema import Run

MOST_BYTES = 1_400_000
"""A page stays below this, whatever the run: it can be mailed, and a phone can open it."""


def report(run: Run, *, label: str = "", limits: Limits | None = None) -> str:
    """The page of a run that has its figures.

    Where it would be too large, samples, texts and lists are shortened by halves until it is not;
    what was left out is said where it would stand. The same run gives the same page.

    Args:
        run: summarised.
        label: what the run is called, such as its number.
        limits: what to begin with.

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


def _page(run: Run, compared: Sequence[Compared], label: str, limits: Limits) -> str:
    sections: list[tuple[str, str, Callable[[], Html]]] = [
        ("ranking", "Ranking", lambda: speed.section(run)),
        ("accuracy", "Speed against errors", lambda: tradeoff.section(run)),
        ("growth", "By length of the audio", lambda: growth.section(run)),
        ("memory", "Memory", lambda: resources.memory(run)),
        ("energy", "Energy", lambda: resources.energy(run, limits)),
        ("readiness", "Getting ready", lambda: resources.readiness(run)),
        ("findings", "Findings", lambda: evidence.findings(run, limits)),
        ("failures", "Failures", lambda: evidence.failures(run, limits)),
        ("left-out", "Left out", lambda: evidence.left_out(run, limits)),
        ("contract", "Equal work", lambda: contracts.section(run, limits)),
        ("all-samples", "Every sample", lambda: samples.section(run, limits)),
        ("texts", "Transcripts", lambda: transcripts.section(compared, limits)),
        ("conditions", "The machine", lambda: conditions.section(run, limits)),
        ("reproduce", "Measure it again", lambda: origins.reproduction(run)),
        ("method", "How the numbers came about", lambda: origins.method(run)),
    ]
    made = [(name, title, content) for name, title, make in sections if (content := make())]
    title = _title(run)
    body = join(
        [
            _heading(run, title, label),
            _verdict(run),
            tag(
                "nav",
                tag("ul", *(tag("li", tag("a", text, href=f"#{name}")) for name, text, _ in made)),
                class_="contents",
                aria_label="Contents",
            ),
            *(
                tag(
                    "section",
                    tag("h2", text, id=f"{name}-h"),
                    content,
                    id=name,
                    aria_labelledby=f"{name}-h",
                )
                for name, text, content in made
            ),
        ],
        Html("\n"),
    )
    return page(title=f"{title} – speedtest", body=body)


def _title(run: Run) -> str:
    models = ", ".join(dict.fromkeys(cell.model.name for cell in run.cells))
    clips = ", ".join(dict.fromkeys(cell.clip.name for cell in run.cells))
    return f"Speed of {models} on {clips}"


def _heading(run: Run, title: str, label: str) -> Html:
    manifest = run.manifest
    request = manifest.request
    outcome = manifest.outcome
    rounds = run.decisions[-1].after if run.decisions else request.rounds
    speech = "; ".join(
        f"{clip.name}, {clip.seconds:.1f} s"
        + (f" in {len(clip.utterances)} recordings" if clip.utterances else "")
        + (f", {clip.language}" if clip.language else "")
        for clip in manifest.clips
    )
    whole_set = any(clip.utterances for clip in manifest.clips)
    amount = numbers.amount(rounds, request.runs, whole_set=whole_set)
    asked = f"contract {request.contract.get('name')}, {amount}, {request.threads} threads"
    started = manifest.started_at.replace("T", " ").replace("+00:00", " UTC")
    facts = [
        ("run", f"{label or manifest.run}, {started}"),
        ("machine", comparable.hardware_class(manifest.machine)),
        ("speech", speech),
        ("asked for", asked),
        ("tool", f"{manifest.tool.name} {manifest.tool.version}"),
        ("ended", outcome.state if outcome else "unknown"),
    ]
    return join([tag("h1", title), origins.definitions(facts)])


def _verdict(run: Run) -> Html:
    """The answer first: a box for each table."""
    several = len(named.ranked(run)) > 1
    parts = []
    for table in named.ranked(run):
        lines = list(verdicts.of(table))
        failed = any(cell.status != "ok" for cell in table.cells)
        parts.append(
            tag(
                "div",
                tag("p", tag("strong", table.title)) if several else Html(""),
                tag("p", tag("strong", lines[0])),
                *(tag("p", line) for line in lines[1:]),
                class_="callout warn" if failed else "callout",
            )
        )
    return tag("section", *parts, aria_label="Verdict")
