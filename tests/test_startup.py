"""``speedtest --help`` must stay cheap: it imports click and this package's own first files."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.runs import stored

HEAVY = {
    "av", "cryptography", "ctranslate2", "dask", "distributed", "faster_whisper", "fsspec", "gguf",
    "huggingface_hub", "jinja2", "jiwer", "markupsafe", "mlx", "msgspec", "numpy", "psutil",
    "pywhispercpp", "rich", "safetensors", "soxr", "torch", "whisper_normalizer",
}  # fmt: skip


def loaded_modules(*arguments: str) -> set[str]:
    """The top-level modules loaded after the command line ran with ``arguments``."""
    code = (
        "import json, sys\n"
        "from mac_whisper_speedtest.cli import main\n"
        f"sys.argv = ['speedtest', *{list(arguments)!r}]\n"
        "main()\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_imports_no_heavy_library() -> None:
    assert loaded_modules("--help") & HEAVY == set()


def test_version_imports_no_heavy_library() -> None:
    assert loaded_modules("--version") & HEAVY == set()


def test_help_of_run_imports_no_heavy_library() -> None:
    assert loaded_modules("run", "--help") & HEAVY == set()


def test_what_waits_for_work_in_a_fleet_imports_nothing_of_dask() -> None:
    modules = "agent", "children", "node", "settings", "units"
    names = ", ".join(f"mac_whisper_speedtest.fleet.{each}" for each in modules)
    code = (
        f"import sys, {names}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(done.stdout.split()) & {"dask", "distributed", "fsspec", "tornado"} == set()


def test_help_of_the_fleet_imports_nothing_of_dask() -> None:
    assert loaded_modules("fleet", "--help") & (HEAVY - {"msgspec"}) == set()


def test_signals_are_handled_before_anything_is_imported() -> None:
    """Python's own start is the only time in which Ctrl-C ends in the traceback of an import."""
    source = Path(__file__).parents[1] / "src"
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        f"sys.path.insert(0, {str(source)!r})\n"
        "import mac_whisper_speedtest.__main__\n"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    own = [f"mac_whisper_speedtest{each}" for each in ("", ".__main__", ".version")]
    extra = set(ast.literal_eval(done.stdout)) - set(own)
    assert extra <= {"atexit"}


def test_a_sealed_run_is_shown_without_what_computes_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path))
    run = str(stored(seal=False).path)
    assert "psutil" in loaded_modules("show", run)  # which seals it
    assert "psutil" not in loaded_modules("show", run)


def test_only_pages_need_the_template_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path))
    run = stored().path
    assert loaded_modules("show", str(run)) & {"jinja2", "markupsafe"} == set()
    page = tmp_path / "report.html"
    assert "jinja2" in loaded_modules("report", str(run), "-o", str(page))


def test_every_listed_command_exists_and_has_the_listed_first_line() -> None:
    import click

    from mac_whisper_speedtest.cli import _COMMANDS, speedtest

    context = click.Context(speedtest)
    for name in _COMMANDS:
        command = speedtest.get_command(context, name)
        assert command is not None
        assert command.help


def test_no_help_shows_the_mark_that_keeps_its_examples_apart() -> None:
    import click

    from mac_whisper_speedtest.cli import speedtest

    def helps(command: click.Command, name: str) -> list[tuple[str, str]]:
        context = click.Context(command, info_name=name)
        found = [(name, command.get_help(context))]
        if isinstance(command, click.Group):
            for each in command.list_commands(context):
                below = command.get_command(context, each)
                assert below is not None
                found += helps(below, f"{name} {each}")
        return found

    assert [name for name, text in helps(speedtest, "speedtest") if "\\b" in text] == []
