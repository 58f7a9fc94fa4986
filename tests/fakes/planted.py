"""A machine on which secrets were planted, a real run on it, and all that leaves it."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import socket
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import FAKES, write_tone
from fakes.secret_forms import FakeSecret, secrets_of_every_kind
from mac_whisper_speedtest import cli, privacy
from mac_whisper_speedtest.bundle import write
from mac_whisper_speedtest.cli import compare as compare_command
from mac_whisper_speedtest.errors import ExitCode
from mac_whisper_speedtest.export import files, tables
from mac_whisper_speedtest.report.html import report
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.summary.summarize import summarize
from mac_whisper_speedtest.timeline import export, timeline

TOKEN = "hf_AbCdEfGh0123456789AbCdEfGh"
USER, HOST = "planteduser", "plantedhost-7"
KEY, MAC, SERIAL = "correct-horse-battery-7", "02:42:ac:11:00:07", "C02PLANTED77"


@dataclass(frozen=True)
class Planted:
    """What was planted.

    Attributes:
        home: the user's home folder.
        others: secrets of every kind.
        words: a text that holds every secret; its last line is short enough for a name.
    """

    home: Path
    others: Sequence[FakeSecret]

    @property
    def words(self) -> str:
        return (
            f"cannot open {self.home}/Recordings/x.wav with {TOKEN} and {KEY} as {USER}@{HOST} "
            f"of {HOST.upper()}.example.org ({MAC}), serial number: {SERIAL}\n"
            + "\n".join(each.text for each in self.others)
            + f"\n{TOKEN} {KEY} {USER}@{HOST} {MAC} {next(iter(self.others)).text}"
        )

    def found(self, data: bytes) -> list[str]:
        """The secrets that stand in ``data``, in any case."""
        text = data.decode(errors="replace").lower()
        secrets = [TOKEN, USER, HOST, KEY, MAC, SERIAL, str(self.home), self.home.name]
        secrets += [part for each in self.others for part in each.parts]
        return [secret for secret in secrets if secret.lower() in text]


@contextlib.contextmanager
def planting(folder: Path, seed: int) -> Iterator[Planted]:
    """A user and a host of those names, and secrets in the environment, while the block lasts."""
    home = folder / "home-of-planteduser"
    home.mkdir()
    others = secrets_of_every_kind(random.Random(seed))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (pair for each in others for pair in each.variables):
            patch.setenv(name, value)
        patch.setenv("HOME", str(home))
        patch.setenv("LOGNAME", USER)
        patch.setenv("USER", USER)
        patch.setenv("HF_TOKEN", TOKEN)
        patch.setenv("MY_API_KEY", KEY)
        patch.setenv("SPEEDTEST_DATA_DIR", str(folder / "data"))
        patch.setenv("SPEEDTEST_CACHE_DIR", str(folder / "cache"))
        patch.setattr(socket, "gethostname", lambda: f"{HOST}.example.org")
        patch.setattr(privacy, "_mac_addresses", lambda: (MAC,))
        patch.setattr(privacy, "_serial_numbers", lambda: (SERIAL,))
        privacy._names.cache_clear()
        yield Planted(home, others)
    privacy._names.cache_clear()


@dataclass(frozen=True)
class Measured:
    """A real run of backends that write all that they know.

    Attributes:
        run: its directory.
        said: stdout and stderr of ``speedtest run --json-logs``.
    """

    run: RunDirectory
    said: bytes


def measure(planted: Planted) -> Measured:
    """A run of two backends that write all that is planted wherever they can; one fails."""
    folder = planted.home / "Recordings"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"not really weights")
    audio = write_tone(folder / f"{USER}-talks.wav")
    (folder / "words.txt").write_text(planted.words, encoding="utf-8")
    described = [folder / "good.toml", folder / "bad.toml"]
    for path in described:
        path.write_text(
            f'[backend]\nname = "{path.stem}"\nadapter = "telltale:Telltale"\n'
            f"search_path = [{json.dumps(str(FAKES))}]\n"
            f"environment = {{ PLANTED = {json.dumps(str(folder / 'words.txt'))}, "
            f'FAULT = "{"yes" if path.stem == "bad" else ""}" }}\n'
            'models = { "tiny.en" = "weights.bin" }\n',
            encoding="utf-8",
        )
    said = _called(
        ["run", "--audio", str(audio), "--model", "tiny.en", "--rounds", "1", "--passes", "1"]
        + [part for path in described for part in ("-b", str(path))]
        + ["--json-logs"]
    )
    return Measured(directory.find("latest"), said)


def _called(arguments: list[str]) -> bytes:
    """What the tool says, called in this process because it must have its planted names."""
    data = io.BytesIO()
    out = io.TextIOWrapper(data, encoding="utf-8", write_through=True)
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
    ):
        patch.setattr(sys, "argv", ["speedtest", *arguments])
        code = cli.main()
    assert code in {None, 0, ExitCode.SOME_CELLS_FAILED}, data.getvalue()
    return data.getvalue()


def _own_files(measured: Measured, folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in measured.run.path.iterdir())


def bundled(measured: Measured, folder: Path) -> bytes:
    """Everything in a bundle of the run."""
    write.write_bundle(measured.run, folder / "x.zip")
    return unzipped(folder / "x.zip")


def unzipped(path: Path) -> bytes:
    """A bundle, as it is and decompressed."""
    with zipfile.ZipFile(path) as archive:
        return path.read_bytes() + b"".join(map(archive.read, archive.namelist()))


def _report(measured: Measured, folder: Path) -> bytes:
    return report.render_report(summarize(measured.run.replay())).encode()


def _trace(measured: Measured, folder: Path) -> bytes:
    events = measured.run.journal().lines
    return export.to_json(timeline.timeline_of(summarize(measured.run.replay()), events))


def _export(measured: Measured, folder: Path) -> bytes:
    for name in set(files.FORMATS) - {"parquet"}:  # compressed; it has the same columns
        for table in ["cells"] if name == "json" else tables.NAMES:
            path = str(folder / f"{table}.{name}")
            _called(
                ["export", str(measured.run.path), "--format", name, "--table", table, "-o", path]
            )
    return b"".join(path.read_bytes() for path in folder.iterdir())


def _shown(measured: Measured, folder: Path) -> bytes:
    run = str(measured.run.path)
    return b"".join(map(_called, (["show", run], ["show", run, "--json"])))


def _compared(measured: Measured, folder: Path) -> bytes:
    other = shutil.copytree(measured.run.path, folder / "other")
    (other / "run.json").unlink()
    head = json.loads((other / "manifest.json").read_bytes())
    (other / "manifest.json").write_text(json.dumps(head | {"run_id": "0" * 32}))
    words = ["compare", str(measured.run.path), str(other), "--format"]
    return b"".join(_called([*words, name]) for name in compare_command.FORMATS)


def _site(measured: Measured, folder: Path) -> bytes:
    _called(["leaderboard", "build", str(measured.run.path), "-o", str(folder / "site")])
    return b"".join(path.read_bytes() for path in (folder / "site").iterdir())


def _listed(measured: Measured, folder: Path) -> bytes:
    said = (["results", "list"], ["results", "show", "latest"], ["history", "good"])
    store = measured.run.path.parents[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEEDTEST_DATA_DIR", str(store))
        return b"".join(map(_called, said)) + (store / "index.sqlite").read_bytes()


OUTPUTS: dict[str, Callable[[Measured, Path], bytes]] = {
    "run directory": _own_files,
    "json logs": lambda measured, folder: measured.said,
    "bundle": bundled,
    "report": _report,
    "trace": _trace,
    "export": _export,
    "show": _shown,
    "compare": _compared,
    "leaderboard": _site,
    "lists and the index": _listed,
}
"""Whatever leaves this machine, or may be pasted somewhere. Add to it what is new."""
