"""JUnit's XML, which every CI service shows: a test case per cell."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from mac_whisper_speedtest.compare import document as d
from mac_whisper_speedtest.report import compared_rows as rows

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no form for (section 2.2), such as the escapes of a backend's log."""


def render(compared: d.Compared) -> str:
    """One suite; a case fails for what ``--fail-on`` names and is skipped where nothing compares.

    The elements and attributes are those that Jenkins' junit-10.xsd allows.
    """
    failures: dict[str, list[d.Regression]] = {}
    for each in compared.regressions:
        failures.setdefault(each.cell, []).append(each)
    suite = ElementTree.Element("testsuite", name="speedtest compare")
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(compared).items():
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    skipped = 0
    for cell in compared.cells:
        case = ElementTree.SubElement(
            suite, "testcase", name=_clean(cell.backend), classname=_clean(_class(cell))
        )
        if cell.speed is not None:
            case.set("time", f"{cell.speed.new_rtf * cell.audio_s:.6f}")
        if cell.name in failures:
            found = failures[cell.name]
            failure = ElementTree.SubElement(
                case,
                "failure",
                type=",".join(dict.fromkeys(each.kind for each in found)),
                message=_clean("; ".join(each.message for each in found)),
            )
            failure.text = _clean("\n".join(f"{each.kind}: {each.message}" for each in found))
        elif cell.state != d.COMPARED:
            skipped += 1
            ElementTree.SubElement(case, "skipped", message=_clean(_why(cell)))
        ElementTree.SubElement(case, "system-out").text = _clean(_shown(cell))
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
        "base": rows.side(compared.base),
        "new": rows.side(compared.new),
        "margin": f"{compared.margin:g}",
        "fail-on": ",".join(compared.fail_on),
    }


def _class(cell: d.CellChange) -> str:
    """What services group by; they split it at dots, which model names have too."""
    return f"speedtest.{cell.model.replace('.', '_')}.{cell.clip.replace('.', '_')}"


def _why(cell: d.CellChange) -> str:
    return f"{cell.state}: {cell.message}" if cell.message else cell.state


def _shown(cell: d.CellChange) -> str:
    lines = zip(rows.HEADINGS, rows.of_cell(cell), strict=True)
    return "\n".join(f"{heading}: {value}" for heading, value in lines)


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
