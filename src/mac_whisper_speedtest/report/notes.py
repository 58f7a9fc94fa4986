"""What a reader must know beside the numbers, a line each."""

from __future__ import annotations

from collections.abc import Iterator

from mac_whisper_speedtest.results.schema import CellResult, ClipInfo, Run
from mac_whisper_speedtest.stats import verdict

FIRST_GROUP = "A"
_NAMED = 5  # entries of a set that were left out


def of(run: Run) -> Iterator[str]:
    """Every failure, deviation and remark; the same line once."""
    seen = set()
    for line in _all(run):
        if line not in seen:
            seen.add(line)
            yield f"  {line}"


def _all(run: Run) -> Iterator[str]:
    grouped = {cell.summary.group for cell in run.cells if cell.summary} - {None}
    if grouped - {FIRST_GROUP}:
        yield "Cells between two lines did equal work; across a line there is no ranking."
    yield from _ranking(run)
    if run.decisions:
        yield f"The run ended because {run.decisions[-1].reason}."
    for clip in run.manifest.clips:
        yield from _left_out(clip)
    for cell in run.cells:
        for line in _of_cell(cell):
            yield f"{cell.backend.name}: {line}"


def _ranking(run: Run) -> Iterator[str]:
    """What the ranking rests on, where there is more than one to rank."""
    ranked = [cell.summary for cell in run.cells if cell.summary and cell.summary.rank is not None]
    if len(ranked) < 2:
        return
    noise, margin = run.manifest.noise, run.manifest.request.margin
    least = f"{verdict.MARGIN * 100:g} %"
    if margin is not None:
        yield f"Differences below {margin:.1%} are not ranked (--margin)."
    elif noise is None:
        yield (
            f"Differences below {least} are not ranked. What this machine's noise hides is not "
            "known: speedtest noise"
        )
    elif noise.floor > verdict.MARGIN:
        yield (
            f"Differences below {noise.floor:.1%} are not ranked: identical cells differ by as "
            f"much on this machine ({noise.backend} against itself, {noise.rounds} rounds)."
        )
    else:
        yield f"Differences below {least} are not ranked; the noise floor is {noise.floor:.1%}."
    tied = [each for each in ranked if each.rank_last != each.rank]
    without = [each for each in ranked if each.rtfx_bounds is None]
    if tied:
        yield "Places such as 1–3 are ties: the rounds do not tell these cells apart."
    if without:
        yield "An interval of a cell takes 6 rounds, and of a comparison 3; see --rounds."


def _left_out(clip: ClipInfo) -> Iterator[str]:
    for what, entries in (("not measured", clip.left_out), ("not scored", clip.unscored)):
        for each in entries[:_NAMED]:
            yield f"{clip.name}: {what}: {each.name}: {each.reason}"
        if len(entries) > _NAMED:
            yield f"{clip.name}: {what}: {len(entries) - _NAMED} more; see the results"


def _of_cell(cell: CellResult) -> Iterator[str]:
    summary = cell.summary
    if summary is not None:
        if summary.fast_but_wrong and summary.accuracy is not None:
            yield from _wrong(cell)
        for finding in summary.findings:
            yield f"{finding.kind}: {finding.message}"
    for ending in cell.endings:
        if ending.status not in {"ok", "skipped"}:
            stage = f" in {ending.stage}" if ending.stage else ""
            yield f"{ending.status}{stage}: {ending.message}"
        elif ending.error_class in {"Interrupted", "Stopped"}:
            yield f"skipped: {ending.message}"
    if cell.contract.effective and not cell.contract.deviations:
        for remark in cell.contract.remarks:
            yield f"remark: {remark}"


def _wrong(cell: CellResult) -> Iterator[str]:
    """Why a cell is in the class of those whose speed does not count."""
    assert cell.summary is not None
    found = cell.summary.accuracy
    assert found is not None
    if found.delta is None or found.delta_low is None or found.delta_high is None:
        return
    against = (found.against or "").partition("/")[0]
    yield (
        f"fast but wrong: {found.metric.upper()} is {found.delta * 100:.1f} points "
        f"({found.delta_low * 100:.1f} to {found.delta_high * 100:.1f}) above that of {against}; "
        f"{found.how}. See: speedtest diff RUN {against} {cell.backend.name}"
    )
