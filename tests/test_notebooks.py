"""The notebooks run from exports as they are: offline, without a warning, and say what is so."""

from __future__ import annotations

import ast
import json
import re
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from fakes.runs import FakeCell, run_of_set
from mac_whisper_speedtest.export import files
from mac_whisper_speedtest.export.tables import CELLS
from mac_whisper_speedtest.results import schema as s

FOLDER = Path(__file__).parents[1] / "benchmarks" / "notebooks"
NAMES = ("leaderboard", "pareto")
MAY_IMPORT = {"html", "math", "os", "pathlib", "pandas", "IPython"}
HOSTILE = "<script>alert(1)</script>"


def cells(name: str) -> list[dict[str, Any]]:
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = document["cells"]
    return found


@pytest.fixture(scope="module")
def runs() -> list[s.Run]:
    """Two kinds of machine; a slower run is worse in nothing, a quick one is wrong."""
    slip = {"u1": "she sells seven shells"}
    wrong = {"u1": "something else entirely", "u2": "and no more than that"}
    first = [
        FakeCell("quick", rtf=0.05, text=slip),
        FakeCell("openai-whisper"),
        FakeCell("beaten", rtf=0.2, text=slip),
        FakeCell("broken", ending="failed", message="no weights"),
    ]
    return [
        run_of_set(*first).run,
        run_of_set(
            FakeCell("openai-whisper", rtf=0.11),
            FakeCell("nonsense", rtf=0.02, text=wrong),
            number=2,
        ).run,
        run_of_set(FakeCell(HOSTILE, rtf=0.4), number=3, machine={"cpu": "Slow One"}).run,
    ]


def executed(name: str, exported: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything that the notebook prints and shows, as text and HTML."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    pytest.importorskip("pandas")
    monkeypatch.setenv("SPEEDTEST_EXPORT", str(exported))
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(folder / variable.lower()))
    for variable in ("http_proxy", "https_proxy", "all_proxy"):  # nothing answers there
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Jupyter's own
        notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
        nbclient.NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()
    shown = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "stream", output.text  # such as a warning
            shown.append(output.data.get("text/html") or output.data["text/plain"])
    return "\n".join(shown)


def tables(shown: str) -> dict[str, list[list[str]]]:
    """Title → rows of the tables of the leaderboard."""
    found = {}
    for part in shown.split("<h4>")[1:]:
        title, _, rest = part.partition("</h4>")
        rows = re.findall(r"<tr.*?</tr>", rest.partition("</table>")[0], flags=re.DOTALL)
        found[title] = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_committed_without_outputs(name: str) -> None:
    for cell in cells(name):
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_needs_pandas_and_nothing_else(name: str) -> None:
    code = "\n".join("".join(each["source"]) for each in cells(name) if each["cell_type"] == "code")
    imported = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            imported |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported <= MAY_IMPORT


def test_the_leaderboard_has_a_table_per_kind_of_machine_with_the_quickest_first(
    runs: list[s.Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    exported = tmp_path / "cells.parquet"
    files.save(runs, exported, "parquet", CELLS)
    shown = executed("leaderboard", exported, tmp_path, monkeypatch)
    found = tables(shown)
    assert len(found) == 2
    (title,) = (each for each in found if "A Processor" in each)
    header, *rows = found[title]
    by_column = [dict(zip(header, row, strict=True)) for row in rows]
    names = [each["backend"].split()[0] for each in by_column]
    # What is wrong comes last, however quick it is.
    assert names == ["quick", "openai-whisper", "openai-whisper", "beaten", "nonsense"]
    assert by_column[0]["of the first"] == "100%"
    assert by_column[1]["of the first"] == "50%"
    assert by_column[-1]["wrong"] == "yes"
    assert all(re.fullmatch(r"[\d.]+–[\d.]+", each["interval"]) for each in by_column)
    assert {each["overlaps"] for each in by_column} == {""}
    assert "broken" in shown
    assert "no weights" in shown
    assert HOSTILE not in shown


def test_the_pareto_front_has_what_nothing_beats(
    runs: list[s.Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = tmp_path / "exports"
    exported.mkdir()
    for number, run in enumerate([*runs, runs[0]]):  # one of them twice
        files.save([run], exported / f"{number}.jsonl", "jsonl", CELLS)
    shown = executed("pareto", exported, tmp_path, monkeypatch)
    assert "6 cells of 3 runs" not in shown
    assert "7 cells of 3 runs" in shown
    table = shown.partition("</table>")[0]
    backends = ("nonsense", "quick", "openai-whisper", "beaten")
    assert [table.count(f"<td>{name}</td>") for name in backends] == [0, 1, 1, 0]
    for drawn in re.findall(r"<svg.*?</svg>", shown, flags=re.DOTALL):
        ElementTree.fromstring(drawn)
    charts = shown.split("<figure>")[1:]
    assert len(charts) == 2
    assert [chart.count("<circle") for chart in charts] == [5, 1]
    for chart in charts:  # no name covers another, although three of them have the same errors
        heights = sorted(map(float, re.findall(r'</g><text x="[\d.]+" y="([\d.]+)"', chart)))
        assert all(below - above >= 13.9 for above, below in pairwise(heights))
        assert len(heights) == chart.count("<circle")
    assert HOSTILE not in shown
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", "".join(charts))
