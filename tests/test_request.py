"""Every option of a run is declared once, and all that is made of the declaration has it."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

import mac_whisper_speedtest
from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest import api, request
from mac_whisper_speedtest.bundle.fields import POLICIES
from mac_whisper_speedtest.cli.run import command
from mac_whisper_speedtest.declared import Doc, FieldPolicy, declarations
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.option import (
    ByteSize,
    FilePath,
    Lengths,
    Newest,
    OneOf,
    Processors,
    Seconds,
    Several,
    Share,
    SpokenLanguage,
    Switch,
    WholeNumber,
)
from mac_whisper_speedtest.report import reproduce
from mac_whisper_speedtest.request import OPTIONS, RecordedRequest, Request
from mac_whisper_speedtest.results import schema as s

DOCS = Path(__file__).parents[1] / "docs"
RECORDED = [name for name in declarations(RecordedRequest, FieldPolicy) if name in OPTIONS]
OTHER_VALUES: dict[type, tuple[str, Any]] = {
    # kind of value: what is typed for a value that is no default, and the value
    ByteSize: ("3GB", 3 * 10**9),
    FilePath: ("list.csv", Path("list.csv")),
    Lengths: ("2,5.5", (2.0, 5.5)),
    Newest: ("7", "7"),
    Processors: ("0-2,5", (0, 1, 2, 5)),
    Seconds: ("2m", 120.0),
    Share: ("5%", 0.05),
    SpokenLanguage: ("fr", "fr"),
    WholeNumber: ("3", 3),
}


def another(name: str) -> tuple[list[str], Any]:
    """An option that is given, as it is typed, and its value."""
    option = OPTIONS[name]
    if isinstance(option.kind, Switch):
        value = not request.default_of(name)
        return [option.flag if value else option.off], value
    if isinstance(option.kind, OneOf):
        chosen = option.kind.names[-1]
        return [option.flag, chosen], option.kind.check(chosen, name)
    if isinstance(option.kind, Several):
        return [option.flag, "one", option.flag, "two"], ("one", "two")
    typed, value = OTHER_VALUES.get(type(option.kind), ("word", "word"))
    return [option.flag, typed], value


def read(*arguments: str) -> Request:
    """The request that the command line makes of these arguments."""
    given = command.make_context("run", list(arguments)).params
    return Request(**{name: given[name] for name in OPTIONS if given[name] is not None})


def test_every_field_says_what_it_means_and_every_recorded_one_how_it_is_shared() -> None:
    named = [each.name for each in dataclasses.fields(Request)]
    assert list(declarations(Request, Doc)) == named
    recorded = [each.name for each in dataclasses.fields(RecordedRequest)]
    assert list(declarations(Request, FieldPolicy)) == recorded
    assert set(named) - OPTIONS.keys() == {"backends_named", "clips"}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_means_the_same_on_the_command_line_and_in_python(name: str) -> None:
    typed, value = another(name)
    models = [] if name == "models" else ["--model", "tiny.en"]
    assert getattr(read(*models, *typed), name) == value
    keyword = typed[1] if isinstance(OPTIONS[name].kind, OneOf) else value
    keywords = {"models": "tiny.en", name: keyword}
    assert getattr(request.from_keywords(**keywords), name) == value
    shown = inspect.signature(api.run).parameters[name].default
    if name != "models":
        same = request.from_keywords(models="tiny.en", **{name: shown})
        assert getattr(same, name) == request.default_of(name)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_in_the_help_under_its_group_and_in_the_reference(name: str) -> None:
    option = OPTIONS[name]
    shown = command.get_help(click.Context(command, info_name="run", max_content_width=80))
    section = shown.partition(f"\n{option.group}:\n")[2].partition("\n\n")[0]
    assert f"{option.flag} " in section
    assert all(len(line) <= 80 for line in section.splitlines())
    page = (DOCS / "reference" / "run-options.md").read_text("utf-8")
    row = next(line for line in page.splitlines() if f"| `{name}` |" in line)
    assert f"`{option.flag}`" in row
    assert request.help_of(name) in row
    assert len(re.findall(r"(?<!\\)\|", row)) == 8  # seven cells


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_option_is_in_the_manifest_in_bundles_and_in_the_command_that_repeats_it(
    name: str,
) -> None:
    _, value = another(name)
    asked = {} if name in {"models", "backends"} else {name: value}
    cells = [FakeCell(each, model=model) for each in ("one", "two") for model in ("tiny", "base")]
    manifest = run_of(*cells, request=asked).manifest
    written = msgspec.to_builtins(manifest.request)
    if asked:
        assert getattr(manifest.request, name) == value
    assert name in written
    assert POLICIES[s.RequestInfo][name] is declarations(Request, FieldPolicy)[name]
    again = read(*shlex.split(reproduce.reproduction_of(manifest).line)[2:])
    assert getattr(again, name) == getattr(manifest.request, name)


@pytest.mark.parametrize(
    ("kind", "typed", "value"),
    [
        (ByteSize(), "500MB", 500 * 10**6),
        (ByteSize(), "2GiB", 2 << 30),
        (ByteSize(), "1.5k", 1500),
        (ByteSize(), "42", 42),
        (Seconds(), "90", 90.0),
        (Seconds(), "1.5h", 5400.0),
        (Share(), "0.02", 0.02),
        (Share(), "2 %", 0.02),
        (Processors(), "6,0-3", (0, 1, 2, 3, 6)),
        (Lengths(), "2,5,10", (2.0, 5.0, 10.0)),
        (WholeNumber(), "-5", -5),
        (SpokenLanguage(), "pt-BR", "pt"),
    ],
)
def test_what_is_typed_is_written_as_it_is_read(kind: Any, typed: str, value: Any) -> None:
    assert kind.parse(typed, "--x") == value
    assert kind.parse(kind.text(value), "--x") == value
    assert kind.check(value, "x") == value


@pytest.mark.parametrize(
    ("kind", "typed", "value"),
    [
        (ByteSize(), "lots", -1),
        (ByteSize(), "0GB", 0),
        (Seconds(), "-5", -5.0),
        (Seconds(), "0", 0),
        (Share(), "100%", 1.0),
        (Share(), "int8", "2%"),
        (Processors(), "3-1", (-1,)),
        (Lengths(), "2,2", (2, 2)),
        (Lengths(), "0,1", (0, 1)),
        (WholeNumber(least=1), "0", 0),
        (WholeNumber(), "1.5", 1.5),
        (WholeNumber(), "one", True),
        (SpokenLanguage(), "english", 3),
        (Switch(), "perhaps", 1),
        (OneOf(names=("a", "b")), "c", 3),
    ],
)
def test_what_is_no_value_is_refused_by_name_with_a_hint(kind: Any, typed: str, value: Any) -> None:
    for call, given, name in ((kind.parse, typed, "--some-option"), (kind.check, value, "keyword")):
        with pytest.raises(UsageError, match=f"^{name} is ") as caught:
            call(given, name)
        assert caught.value.hint


MADE_UP = """
    made_up_s: Annotated[
        float | None,
        Option("--made-up", Group.AMOUNT, Seconds()),
        Doc("a made-up option", unit="s", null="not given"),
        FieldPolicy.KEPT,
    ] = None
"""
LOOK = """
import shlex
from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest import reference, request
from mac_whisper_speedtest.bundle.fields import POLICIES
from mac_whisper_speedtest.cli.run import command
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.report import reproduce
from mac_whisper_speedtest.results import schema as s

assert "--made-up TIME" in command.get_help(command.make_context("run", ["-m", "tiny.en"]))
asked = request.from_keywords(models="tiny.en", made_up_s=90)
manifest = run_of(FakeCell("a"), request={"made_up_s": asked.made_up_s}).manifest
assert manifest.request.made_up_s == 90
again = shlex.split(reproduce.reproduction_of(manifest).line)
assert command.make_context("run", again[2:]).params["made_up_s"] == 90
assert POLICIES[s.RequestInfo]["made_up_s"].name == "KEPT"
for name in ("run-options.md", "results.md", "bundles.md"):
    assert "`made_up_s`" in reference.PAGES[name](), name
try:
    request.from_keywords(models="tiny.en", made_up_s=0)
except UsageError as error:
    print(error.message)
"""


def test_a_new_option_is_one_declaration(tmp_path: Path) -> None:
    """It is then in the help, Python, the manifest, what repeats it, bundles and the reference."""
    source = Path(mac_whisper_speedtest.__file__).parent
    copy = tmp_path / "src" / source.name
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    declared = copy / "request.py"
    text = declared.read_text(encoding="utf-8")
    first = "    max_rounds: Annotated["
    assert text.count(first) == 1
    declared.write_text(text.replace(first, MADE_UP + first), encoding="utf-8")
    places = [str(copy.parent), str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("made_up_s is 0, but must be a number above 0\n", "")
