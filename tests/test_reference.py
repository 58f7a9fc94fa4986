"""A field is declared once: the pages of docs/reference, columns, index and bundles follow it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import types
from dataclasses import is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import click
import pytest

import mac_whisper_speedtest
from mac_whisper_speedtest import catalog, paths, reference
from mac_whisper_speedtest.bundle.fields import POLICIES, structs_in
from mac_whisper_speedtest.cli import speedtest
from mac_whisper_speedtest.compare import document
from mac_whisper_speedtest.declared import Doc, declarations
from mac_whisper_speedtest.errors import ExitCode
from mac_whisper_speedtest.reference import backends
from mac_whisper_speedtest.reference.commands import walk
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.conformance import CHECKS

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
COMPARED = dict.fromkeys((*structs_in(document.Compared), *structs_in(document.History)))
DECLARED = {*POLICIES, *structs_in(s.Run), *COMPARED}

MADE_UP = '    made_up_s: float | None = fact("a made-up figure", column=Column(), default=None)\n'
LOOK = """
import sqlite3, sys
from fakes.runs import FakeCell, stored
from mac_whisper_speedtest import paths, reference
from mac_whisper_speedtest.bundle.fields import policies
from mac_whisper_speedtest.export.tables import CELLS
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.conformance import CHECKS
from mac_whisper_speedtest.store.index import open_index
from mac_whisper_speedtest.summary.summarize import summarize

run = stored(FakeCell("a"))
with open_index() as index:
    (row,) = index.cells()
    assert row.cell.summary.made_up_s == 1.5
found = sqlite3.connect(paths.data_dir() / "index.sqlite").execute("SELECT made_up_s FROM cells")
assert found.fetchall() == [(1.5,)]
(record,) = CELLS.records([summarize(run.replay())])
assert record["made_up_s"] == 1.5
assert policies(s.Summary)["made_up_s"].name == "COMPUTED"
for name in ("results.md", "columns.md", "index.md", "bundles.md"):
    assert "`made_up_s`" in reference.PAGES[name](), name
assert "a made-up figure" in reference.PAGES["columns.md"]()
print("everywhere")
"""


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_says_what_is_declared(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == reference.PAGES[name](), (
        "run: python -m mac_whisper_speedtest.reference docs/reference"
    )


def test_no_page_is_left_over() -> None:
    assert {each.name for each in FOLDER.iterdir()} == set(reference.PAGES)


def test_every_command_and_each_of_its_options_is_listed() -> None:
    """Those of a run are on a page of their own, with their names in Python."""
    text, of_runs = reference.PAGES["commands.md"](), reference.PAGES["run-options.md"]()
    sections = dict(re.findall(r"^## (speedtest.*)\n((?:.*\n(?!## ))*)", text, re.MULTILINE))
    found = dict(walk(speedtest, "speedtest"))
    assert sections.keys() == found.keys()
    for name, command in found.items():
        for option in command.params:
            for flag in (*option.opts, *option.secondary_opts):
                if isinstance(option, click.Option):
                    page = of_runs if f"`{flag}`" not in sections[name] else sections[name]
                    assert f"`{flag}`" in page, (name, flag)
                    assert page is sections[name] or "(run-options.md)" in sections[name], name


def test_every_exit_code_and_every_model_has_a_row() -> None:
    codes = re.findall(r"^\| (\d+) \| `(\w+)` \|", reference.PAGES["exit-codes.md"](), re.MULTILINE)
    assert [(int(code), name) for code, name in codes] == [(each, each.name) for each in ExitCode]
    models = re.findall(r"^\| `([\w.-]+)` \|", reference.PAGES["models.md"](), re.MULTILINE)
    assert models[: len(catalog.models())] == list(catalog.models())


def test_every_message_error_stage_and_check_of_the_protocol_is_listed() -> None:
    text = reference.PAGES["protocol.md"]()
    for each in (*m.Method, *m.Stage):
        assert f"\n| `{each}` | " in text
    for code in m.ErrorCode:
        assert f"\n| {code:d} | {code.name.lower().replace('_', ' ')} | " in text
    kinds = {name for name, each in vars(m).items() if is_dataclass(each)}
    assert kinds <= set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert all(f"\n| `{check.name}` | {check.asks} |\n" in text for check in CHECKS)


def test_every_backend_has_a_row_and_a_section() -> None:
    names = backends.built_in()
    assert len(names) > 10
    text = reference.PAGES["backends.md"]()
    assert re.findall(r"^### (.+)$", text, re.MULTILINE) == list(names)
    assert all(text.count(f"\n| `{name}` |") == 2 for name in names)
    assert all(text.count(f"\n| [`{name}`](#") == 1 for name in names)


@pytest.mark.parametrize("kind", sorted(DECLARED, key=str), ids=lambda kind: kind.__name__)
def test_every_field_says_what_it_means_and_when_it_is_null(kind: type[s.Struct]) -> None:
    docs, hints = declarations(kind, Doc), get_type_hints(kind)
    assert list(docs) == [name for name in hints if not name.startswith("__")]
    for name, doc in docs.items():
        assert doc.meaning, name
        assert "|" not in doc.meaning + doc.unit + doc.null, name
        nullable = types.NoneType in get_args(hints[name])
        assert bool(doc.null) == nullable, name


def test_a_new_figure_is_one_declaration_and_its_computation(tmp_path: Path) -> None:
    """It is then in exports, the index, the policies of bundles and the reference."""
    source = Path(mac_whisper_speedtest.__file__).parent
    copy = tmp_path / "src" / source.name
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    _insert(copy / "results/schema/summary.py", "    findings: ", MADE_UP)
    _insert(copy / "summary/summarize.py", "        findings=", "        made_up_s=1.5,\n")
    places = [str(copy.parent), str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(places),
            "SPEEDTEST_DATA_DIR": str(tmp_path / "data"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("everywhere\n", "")


def _insert(path: Path, before: str, line: str) -> None:
    """Put a line in front of the one that begins so."""
    text = path.read_text(encoding="utf-8")
    assert text.count(f"\n{before}") == 1
    path.write_text(text.replace(f"\n{before}", f"\n{line}{before}"), encoding="utf-8")


def test_every_folder_and_variable_that_the_source_names_is_declared() -> None:
    source = Path(mac_whisper_speedtest.__file__).parent
    text = "".join(each.read_text(encoding="utf-8") for each in sorted(source.rglob("*.py")))
    for root, known in (("data", paths.DATA), ("cache", paths.CACHE)):
        named = set(re.findall(rf'paths\.{root}_dir\(\) / f?"([^"]+)"', text))
        assert named
        assert named <= known.keys(), root
    variables = set(re.findall(r'environ\.get\(\s*"([A-Z_]+)"', text))
    assert variables <= paths.VARIABLES.keys()
