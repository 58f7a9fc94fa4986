"""A comparison in formats that CI services read: JUnit, hyperfine, github-action-benchmark."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from xml.etree import ElementTree

from mac_whisper_speedtest.compare import document as d
from mac_whisper_speedtest.compare.document import CellChange, Compared, QuantityChange
from mac_whisper_speedtest.limits import LONGEST_MESSAGE
from mac_whisper_speedtest.printable import clipped, escaped_json, printable
from mac_whisper_speedtest.report import comparison as rows
from mac_whisper_speedtest.results.cells import LONGEST_FIELD


def render_junit(compared: d.Compared) -> str:
    """JUnit XML: a test case per cell, as Jenkins' junit-10.xsd allows it.

    A case fails for what ``--fail-on`` names, and is skipped if its cell could not be compared.
    """
    failures: dict[str, list[d.Regression]] = {}
    for each in compared.regressions:
        failures.setdefault(each.cell, []).append(each)
    suite = ElementTree.Element("testsuite", name="speedtest compare")
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(compared).items():
        ElementTree.SubElement(properties, "property", name=name, value=printable(value))
    skipped = 0
    for cell in compared.cells:
        case = ElementTree.SubElement(
            suite, "testcase", name=printable(cell.label), classname=printable(_class(cell))
        )
        if cell.speed is not None:
            case.set("time", f"{cell.speed.new.rtf * cell.audio_s:.6f}")
        if cell.name in failures:
            found = failures[cell.name]
            failure = ElementTree.SubElement(
                case,
                "failure",
                type=",".join(dict.fromkeys(each.kind for each in found)),
                message=printable("; ".join(each.message for each in found)),
            )
            failure.text = printable("\n".join(f"{each.kind}: {each.message}" for each in found))
        elif cell.state != d.COMPARED:
            skipped += 1
            ElementTree.SubElement(case, "skipped", message=printable(_why(cell)))
        undecided = [
            f"not decided: {each.kind}: {each.message}"
            for each in compared.undecided
            if each.cell == cell.name
        ]
        shown = "\n".join([_shown(cell), *undecided])
        ElementTree.SubElement(case, "system-out").text = printable(shown)
    suite.set("tests", str(len(compared.cells)))
    suite.set("failures", str(len(failures)))
    suite.set("errors", "0")
    suite.set("skipped", str(skipped))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        + ElementTree.tostring(root, encoding="unicode")
        + "\n"
    )


def _properties(compared: d.Compared) -> dict[str, str]:
    return {
        "base": rows.run_text(compared.base),
        "new": rows.run_text(compared.new),
        "margin": f"{compared.margin:g}",
        "fail-on": ",".join(compared.fail_on),
    }


def _class(cell: d.CellChange) -> str:
    """The class name, by which services group. They split it at dots, so names contain none."""
    return f"speedtest.{cell.model.replace('.', '_')}.{cell.clip.replace('.', '_')}"


def _why(cell: d.CellChange) -> str:
    return f"{cell.state}: {clipped(cell.message, LONGEST_MESSAGE)}" if cell.message else cell.state


def _shown(cell: d.CellChange) -> str:
    lines = zip(rows.HEADINGS, rows.cell_row(cell), strict=True)
    return "\n".join(f"{heading}: {value}" for heading, value in lines)


def _json(value: object) -> str:
    return escaped_json(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


# hyperfine.


def render_hyperfine(compared: Compared) -> str:
    """The JSON of ``hyperfine --export-json``, for its plotting scripts; two results per cell.

    Times are seconds for all of the cell's speech, one per round. This tool does not separate user
    from system time: ``user`` is their sum and ``system`` is 0. Both are 0 if unknown.
    """
    found = [result for cell in compared.cells for result in _results(cell)]
    return _json({"results": found})


def _results(cell: CellChange) -> Iterator[dict[str, object]]:
    speed = cell.speed
    if speed is None:
        return
    for run, side, measured in (("base", cell.base, speed.base), ("new", cell.new, speed.new)):
        assert side is not None  # a speed is of a cell that both runs have
        times = [rtf * cell.audio_s for rtf in measured.rounds]
        processor = measured.processor
        yield {
            "command": f"{rows.side_name(side)} {cell.model} on {cell.clip} ({run})",
            "mean": statistics.fmean(times),
            "stddev": statistics.stdev(times) if len(times) > 1 else None,
            "median": statistics.median(times),
            "user": processor * cell.audio_s if processor is not None else 0.0,
            "system": 0.0,
            "min": min(times),
            "max": max(times),
            "times": times,
            "exit_codes": [0] * len(times),
            "parameters": {
                "backend": cell.backend,
                "version": clipped(side.version or "", LONGEST_FIELD),
                "model": cell.model,
                "clip": cell.clip,
                "run": run,
            },
        }


# github-action-benchmark.


def render_github_action_benchmark(compared: Compared) -> str:
    """The JSON that github-action-benchmark reads as ``customSmallerIsBetter``.

    The action keeps its own history, so only the new run is in it. Names have no version, so that a
    new release continues the line of the previous one. Documented at
    github.com/benchmark-action/github-action-benchmark.
    """
    found = [entry for cell in compared.cells for entry in _entries(cell)]
    return _json(found)


def _entries(cell: CellChange) -> Iterator[dict[str, object]]:
    if cell.speed is None or cell.new is None:
        return
    speed, ratio = cell.speed, cell.speed.ratio
    name = rows.side_name(cell.new)
    extra = [name, f"speed: {speed.verdict}"]
    if ratio is not None:
        extra.append(f"time new/base: {ratio.estimate:.3f} ({ratio.low:.3f} to {ratio.high:.3f})")
    half = (max(speed.new.rounds) - min(speed.new.rounds)) / 2
    yield {
        "name": f"{cell.name}: RTF",
        "unit": "s per audio s",
        "value": speed.new.rtf,
        "range": f"± {half:.3g}",
        "extra": "\n".join(extra),
    }
    accuracy = cell.accuracy
    if accuracy is not None and accuracy.new_rate is not None:
        low, high = accuracy.new_low, accuracy.new_high
        yield {
            "name": f"{cell.name}: {(accuracy.metric or 'error rate').upper()}",
            "unit": "%",
            "value": accuracy.new_rate * 100,
            **({} if low is None or high is None else {"range": f"{low:.2%} to {high:.2%}"}),
            "extra": f"{name}\naccuracy: {accuracy.verdict or accuracy.how}",
        }
    for quantity in cell.quantities:
        if quantity.new is not None:
            yield _quantity(cell, quantity, name)


def _quantity(cell: CellChange, quantity: QuantityChange, name: str) -> dict[str, object]:
    megabytes = quantity.unit == "byte"
    return {
        "name": f"{cell.name}: {quantity.name}",
        "unit": "MB" if megabytes else quantity.unit,
        "value": quantity.new / 1e6 if megabytes and quantity.new is not None else quantity.new,
        "extra": f"{name}\n{quantity.verdict or quantity.reason}",
    }
