"""On a simulated Mac: bridges are built, weights pulled, checked and loaded, speech measured.

The tool is a process of its own there (`fakes.simulated_mac`). Swift is a stand-in, and so is what
it builds: a program that speaks the protocol and really hears the words of `tone_speech`. What
passes here may still fail on a Mac.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import FAKES, Finished, Tool
from fakes import tone_speech
from fakes.hub import Hub
from fakes.simulated_mac import SimulatedMac
from mac_whisper_speedtest import catalog

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="simulates a Mac on Linux")

SPOKEN = "and so my fellow americans ask not what you can do"
# Weights without a hash in the catalog: any file of the right name will do.
MODEL = "tiny.en"
COMPILING = "compiling for the Neural Engine (first time)"
_NOT_INHERITED = ("HF_", "HUGGINGFACE_", "XDG_", "SPEEDTEST_OFFLINE")


class Mac(Tool):
    """The tool on a simulated Mac.

    Attributes:
        machine: the Mac.
        audio: a recording of `SPOKEN`, with its text beside it.
    """

    def __init__(self, folder: Path, hub: Hub, **system: str) -> None:
        super().__init__(folder / "tmp")
        self.temporary.mkdir()
        self.machine = SimulatedMac(folder / "mac", **system)
        self.audio = tone_speech.write_words(folder / "speech.wav", SPOKEN)
        self.audio.with_suffix(".txt").write_text(SPOKEN)
        self._hub = hub

    @property
    def environment(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in super().environment.items()
            if not name.startswith(_NOT_INHERITED)
        }
        path = [str(FAKES / "mac"), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **inherited,
            **self.machine.variables(),
            "PATH": f"{self.machine.tools.folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(path),
            "SPEEDTEST_CACHE_DIR": str(self.machine.home / "Library/Caches/speedtest"),
            "SPEEDTEST_DATA_DIR": str(self.machine.home / "Library/Application Support/speedtest"),
            "HF_ENDPOINT": self._hub.endpoint,
            "NO_PROXY": "127.0.0.1,localhost",
            "COLUMNS": "220",
        }

    def json(self, *arguments: object) -> Any:
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def where(self, backend: str) -> str:
        """Where ``backends list`` says that a backend runs."""
        rows = self.json("backends", "list")
        return str(next(row["runs_from"] for row in rows if row["name"] == backend))

    def measure(self, backend: str, *options: object, model: str = MODEL) -> Finished:
        """One round of one backend on the recording."""
        return self(
            *("run", "-b", backend, "-m", model, "--audio", self.audio),
            *("--rounds", 1, "--passes", 1, *options),
        )


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A hub with WhisperKit's weights of one model: of the right names, with any content."""
    row = catalog.find_hosted(MODEL, "whisperkit")
    assert row is not None
    assert row.revision is not None
    assert row.tokenizer is not None
    files: dict[str, bytes | Path] = {
        f"{row.folder}/{bundle}/{name}": f"{bundle} {name}".encode()
        for bundle in row.kind.bundles
        for name in ("weights/weight.bin", "coremldata.bin", "model.mil")
    }
    files |= {f"{row.folder}/{name}": b"{}" for name in ("config.json", "generation_config.json")}
    tokenizer: dict[str, bytes | Path] = {file.name: b"{}" for file in row.tokenizer.files}
    with Hub() as served:
        served.add(row.repository, row.revision, files)
        served.add(row.tokenizer.repository, row.tokenizer.revision, tokenizer)
        yield served


@pytest.fixture(scope="module")
def new_mac(tmp_path_factory: pytest.TempPathFactory, hub: Hub) -> Iterator[Callable[..., Mac]]:
    """Set up a Mac: ``new_mac(macos="26.0")``. None may have processes or files left at the end."""
    macs: list[Mac] = []

    def make(**system: str) -> Mac:
        macs.append(Mac(tmp_path_factory.mktemp("simulated"), hub, **system))
        return macs[-1]

    yield make
    assert [each.leftovers() for each in macs] == [[] for _ in macs]


@pytest.fixture(scope="module")
def bare(new_mac: Callable[..., Mac]) -> Mac:
    """One on which nothing is built: tests leave it so."""
    return new_mac()


@pytest.fixture(scope="module")
def installed(new_mac: Callable[..., Mac]) -> tuple[Mac, Finished]:
    """One with WhisperKit's bridge, and what building it said."""
    mac = new_mac()
    return mac, mac("backends", "install", "whisperkit")


@pytest.fixture(scope="module")
def pulled(installed: tuple[Mac, Finished]) -> tuple[Mac, Finished]:
    """The same with weights, and what pulling them said."""
    mac, _ = installed
    return mac, mac("models", "pull", MODEL, "--backend", "whisperkit")


@pytest.fixture(scope="module")
def measured(new_mac: Callable[..., Mac]) -> tuple[Mac, Finished]:
    """Another one like that, and its first run: nothing was loaded there before."""
    mac = new_mac()
    mac("backends", "install", "whisperkit")
    mac("models", "pull", MODEL, "--backend", "whisperkit")
    return mac, mac.measure("whisperkit")


# Before anything is built.


def test_what_is_not_built_says_what_to_type_wherever_it_is_named(bare: Mac) -> None:
    assert bare.where("whisperkit") == "not installed"
    done = bare.measure("whisperkit")
    assert done.returncode == 4
    assert "not installed — speedtest backends install whisperkit" in done.stdout
    checked = bare("check-models", "-b", "whisperkit", "-m", MODEL)
    assert checked.returncode == 6
    assert f"speedtest models pull {MODEL} --format whisperkit" in checked.stdout


def test_the_machine_is_described_as_a_mac(bare: Mac) -> None:
    done = bare("doctor")
    assert done.returncode == 0
    for said in (
        *("macOS 15.5 (24F74)", "Apple M1 (MacBookAir10,1)", "8: 4 Performance + 4 Efficiency"),
        *("Apple M1, 8 cores, Metal", "AC Power", "nominal", "Apple Swift version 6.1.2"),
    ):
        assert said in done.stdout


@pytest.mark.parametrize(
    ("faults", "version", "said", "hint"),
    [
        (
            ["no tools"],
            {},
            "Command Line Tools of Xcode are not installed",
            "xcode-select --install",
        ),
        (
            ["license"],
            "6.1.2",
            "license of Xcode has not been accepted",
            "sudo xcodebuild -license",
        ),
        ([], "5.10", "needs Swift 6.0 or newer; this is 5.10", "softwareupdate"),
        (["compile error"], "6.1.2", "cannot find 'Whisper' in scope", "build.log"),
    ],
)
def test_what_a_build_lacks_is_said_with_the_command_that_brings_it(
    bare: Mac, faults: list[str], version: str, said: str, hint: str
) -> None:
    bare.machine.tools.plan(*faults, version=version)
    try:
        done = bare("backends", "install", "whisperkit")
    finally:
        bare.machine.tools.plan()
    assert done.returncode in {1, 2}
    assert said in done.stderr
    assert hint in done.stderr
    assert bare.where("whisperkit") == "not installed"


def test_whisper_cpp_with_core_ml_is_built_from_source_there(bare: Mac) -> None:
    facts = bare.json("backends", "info", "whisper.cpp-coreml")
    assert (facts["runs_from"], facts["works_on_this_platform"]) == ("not installed", True)
    bare.machine.tools.plan("no tools")
    try:
        done = bare("backends", "install", "whisper.cpp-coreml")
    finally:
        bare.machine.tools.plan()
    assert done.returncode == 2
    assert "is built from source, and there is no C++ compiler" in done.stderr
    assert "hint: xcode-select --install" in done.stderr
    checked = bare("check-models", "-b", "whisper.cpp-coreml", "-m", MODEL)
    assert checked.returncode == 6
    assert f"speedtest models pull {MODEL} --format ggml-coreml" in checked.stdout


# With WhisperKit's bridge.


def test_the_bridge_is_built_once_and_known_with_its_packages(
    installed: tuple[Mac, Finished],
) -> None:
    mac, done = installed
    assert done.returncode == 0
    assert done.stdout == "whisperkit 1.1.0 is installed as a program\n"
    assert "building with Swift 6.1.2, which takes minutes" in done.stderr
    assert mac.where("whisperkit") == "built here"
    facts = mac.json("backends", "info", "whisperkit")
    assert facts["path"].startswith("~/Library/Caches/speedtest/bridges/whisperkit@1.1.0-")
    again = mac("backends", "install", "whisperkit")
    assert (again.returncode, again.stderr) == (0, "whisperkit 1.1.0 is already installed\n")
    assert "1.1.0, built on this machine; may use ane, gpu, cpu" in mac("doctor").stdout


def test_the_weights_are_pulled_checked_and_loaded(pulled: tuple[Mac, Finished]) -> None:
    mac, done = pulled
    assert done.returncode == 0
    assert "Fetching the tokenizer of tiny.en: 2 files" in done.stderr
    table = mac("check-models", "-b", "whisperkit", "-m", MODEL, "--load")
    assert table.returncode == 0
    assert "loaded in" in table.stdout
    found = mac.json("check-models", "-b", "whisperkit", "-m", MODEL, "--load", "--fresh")
    (row,) = found["rows"]
    assert (row["state"], row["evidence"]) == ("complete", "hashes")
    load = row["load"]
    assert (load["outcome"], load["version"], load["hosts"]) == ("loaded", "1.1.0", [])


def test_weights_that_lack_a_file_are_named_and_refused_by_the_bridge(
    pulled: tuple[Mac, Finished],
) -> None:
    mac, _ = pulled
    (file,) = mac.machine.home.glob(
        "Library/**/whisperkit-*/*/AudioEncoder.mlmodelc/coremldata.bin"
    )
    aside = file.with_suffix(".aside")
    file.rename(aside)
    try:
        done = mac("check-models", "-b", "whisperkit", "-m", MODEL, "--load")
    finally:
        aside.rename(file)
    assert done.returncode == 8
    assert "AudioEncoder.mlmodelc/coremldata.bin is missing" in done.stdout
    assert "AudioEncoder.mlmodelc is not a compiled model" in done.stdout


def test_the_built_program_is_held_to_the_protocol(pulled: tuple[Mac, Finished]) -> None:
    mac, _ = pulled
    done = mac("conformance", "-b", "whisperkit", "-m", MODEL)
    assert "whisperkit 1.1.0" in done.stdout
    assert " 0 FAIL, " in done.stdout, done.stdout
    assert done.returncode == 0


def test_speech_is_measured_on_the_neural_engine(measured: tuple[Mac, Finished]) -> None:
    mac, done = measured
    assert done.returncode == 0, done.stderr
    assert COMPILING in done.stderr
    assert "whisperkit 1.1.0 float16" in done.stdout
    assert "WER 0.0%" in done.stdout
    run = mac.json("show", "1")
    machine = run["manifest"]["machine"]
    assert (machine["os"], machine["os_version"]) == ("Darwin", "15.5")
    assert (machine["os_build"], machine["hardware_model"]) == ("24F74", "MacBookAir10,1")
    assert (machine["cpu"], machine["gpus"], machine["gpu_cores"]) == ("Apple M1", ["Apple M1"], 8)
    assert run["manifest"]["host"] == ["caffeinate -ims"]
    assert machine["core_kinds"] == {"Performance": 4, "Efficiency": 4}
    assert run["manifest"]["request"]["threads"] == 4  # one per performance core
    (cell,) = run["cells"]
    assert cell["status"] == "ok"
    assert (cell["backend"]["device"], cell["backend"]["precision"]) == ("ane", "float16")
    # What the program was built with is recorded beside what it says of itself.
    assert "1e2a163736df" in cell["backend"]["versions"]["argmax-oss-swift"]
    assert {each["text"] for each in cell["samples"]} == {SPOKEN}
    assert cell["loads"][0]["compile_cache"] == "absent"
    variables = {"OMP_NUM_THREADS": "4", "VECLIB_MAXIMUM_THREADS": "4"}
    assert variables.items() <= cell["loads"][0]["thread_variables"].items()
    (meters,) = cell["meters"]
    readings = meters["readings"]
    assert readings["peak_footprint_bytes"]["value"] > readings["footprint_bytes"]["value"] > 0
    assert readings["peak_neural_footprint_bytes"]["value"] == 1 << 21
    # Its footprint is what is shown, from the first call on.
    summary = cell["summary"]
    assert summary["peak_memory_kind"] == "footprint"
    peaks = [each["peak_footprint_bytes"] for each in cell["samples"]]
    assert (summary["first_peak_memory_bytes"], summary["peak_memory_bytes"]) == (
        peaks[0],
        max(peaks),
    )
    assert "Footprint MB is the peak footprint (with Metal's memory)" in done.stdout


def test_a_later_load_is_known_not_to_compile(measured: tuple[Mac, Finished]) -> None:
    mac, _ = measured
    done = mac.measure("whisperkit", "--json")
    assert done.returncode == 0
    assert COMPILING not in done.stderr
    (cell,) = done.run["cells"]
    assert cell["loads"][0]["compile_cache"] == "there"


def test_a_sample_in_which_memory_was_swapped_out_is_disturbed(
    measured: tuple[Mac, Finished],
) -> None:
    mac, _ = measured
    mac.machine.swapouts = 1000
    try:
        done = mac.measure("whisperkit", "--json", "--no-retake")
    finally:
        mac.machine.swapouts = 0
    (timed,) = [each for each in done.run["cells"][0]["samples"] if each["kind"] == "timed"]
    moved = 1000 * os.sysconf("SC_PAGE_SIZE") / 1e6
    assert timed["disturbed"].endswith(f"memory was short: {moved:.0f} MB were swapped out")
    shown = " ".join(mac("show", "latest").stdout.split())
    assert f"disturbed ({timed['disturbed']}" in shown


def test_a_worker_is_held_to_its_limit_by_the_footprint(measured: tuple[Mac, Finished]) -> None:
    mac, _ = measured
    done = mac.measure("whisperkit", "--json", "--max-memory", "1MB")
    (ending,) = done.run["cells"][0]["endings"]
    assert (ending["status"], ending["error_class"]) == ("out_of_memory", "MemoryLimit")
    # It is looked at in intervals: during the spawn, or on a busy machine in the phase after it.
    over = r"of memory \(footprint, with Metal's\) during \w+, over the limit of 1 MB; killed$"
    assert re.search(over, ending["message"])


def test_the_run_is_shown_exported_and_verified(measured: tuple[Mac, Finished]) -> None:
    mac, done = measured
    shown = mac("show", "1")
    assert shown.returncode == 0
    assert shown.stdout in done.stdout or done.stdout in shown.stdout
    exported = mac("export", "1", "-f", "csv")
    assert exported.returncode == 0
    (row,) = csv.DictReader(io.StringIO(exported.stdout))
    assert (row["backend"], row["backend_version"], row["device"]) == ("whisperkit", "1.1.0", "ane")
    assert mac("results", "verify").returncode == 0
    report = mac("report", "1", "-o", mac.temporary.with_name("report.html"))
    assert report.returncode == 0


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--device", "cuda"], 2, "has no device cuda here (it has ane, gpu, cpu)"),
        (
            ["--contract", "beam5"],
            4,
            "cannot keep the contract beam5: beam_size is always 1, not 5",
        ),
        (["--precision", "int8"], 0, "computed in float16, although int8 was requested"),
        (
            ["--affinity", "0"],
            2,
            "cores 0 cannot be assigned to a worker: this system has no affinity",
        ),
    ],
)
def test_what_it_cannot_do_is_said_before_or_beside_the_number(
    pulled: tuple[Mac, Finished], options: list[str], code: int, said: str
) -> None:
    mac, _ = pulled
    done = mac.measure("whisperkit", *options)
    assert done.returncode == code
    assert said in done.stdout + done.stderr


def test_the_run_has_what_was_asked_and_what_it_meant(pulled: tuple[Mac, Finished]) -> None:
    mac, _ = pulled
    done = mac.measure("whisperkit", "--device", "metal", "--json")
    assert done.returncode == 0
    (cell,) = done.run["cells"]
    (load,) = cell["loads"]
    assert (load["device_asked"], load["device"]) == ("gpu", "gpu")
    assert not [each for each in cell["summary"]["findings"] if each["kind"] == "device"]
    runs = mac.machine.home / "Library/Application Support/speedtest/runs"
    newest = max(runs.iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
    manifest = json.loads((newest / "manifest.json").read_text())
    assert manifest["request"]["device"] == "metal"
    assert [each["device"] for each in manifest["cells"]] == ["gpu"]


def test_a_removed_bridge_is_gone_and_can_be_built_again(new_mac: Callable[..., Mac]) -> None:
    mac = new_mac()
    mac("backends", "install", "whisperkit")
    done = mac("backends", "remove", "whisperkit")
    assert done.returncode == 0
    assert "whisperkit 1.1.0: removed" in done.stdout
    assert mac.where("whisperkit") == "not installed"
    assert mac("backends", "install", "whisperkit").returncode == 0


# The others.


def test_fluidaudio_is_measured_with_its_own_copy(
    new_mac: Callable[..., Mac],
) -> None:
    mac = new_mac()
    mac.machine.tools.plan(
        name="fluidaudio",
        revisions={"fluidaudio": "4dbf4f9f9a5ff3a53ade848d7ba4e3df13db859b"},
    )
    assert mac("backends", "install", "fluidaudio").returncode == 0
    assert mac.where("fluidaudio") == "built here"
    network = "parakeet-tdt-0.6b-v2"
    own = mac.machine.home / "Library/Application Support/FluidAudio/Models" / network
    for bundle in ("Preprocessor", "Encoder", "Decoder", "JointDecision"):
        for name in ("coremldata.bin", "model.mil", "weights/weight.bin"):
            file = own / f"{bundle}.mlmodelc" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"core")
    (own / "parakeet_vocab.json").write_bytes(b"{}")
    found = mac.json("check-models", "-b", "fluidaudio", "-m", network, "--load")
    (row,) = found["rows"]
    assert (row["state"], row["load"]["outcome"]) == ("complete", "loaded")
    done = mac.measure("fluidaudio", "--json")
    assert done.returncode == 0, done.stderr
    (cell,) = done.run["cells"]
    assert cell["samples"][-1]["text"] == SPOKEN
    assert (cell["model"]["name"], cell["backend"]["precision"]) == (network, "palettized6")
    assert "FluidAudio's folder" in cell["model"]["weights"]["source"]
    # Without them, the command that fetches them.
    (own / "Encoder.mlmodelc" / "weights" / "weight.bin").unlink()
    done = mac.measure("fluidaudio")
    assert done.returncode == 6
    assert f"speedtest models pull {network} --format fluidaudio" in done.stderr


def test_all_on_macos_14_says_what_it_leaves_out_and_ends_well(
    new_mac: Callable[..., Mac],
) -> None:
    mac = new_mac(macos="14.7.1", build="23H222")
    done = mac("backends", "install", "--all", "--max-size", "1MB")
    assert done.returncode == 0, done.stderr
    left = dict(re.findall(r"^(\S+): left out: (.*)$", done.stderr, re.MULTILINE))
    assert left["apple-speech"] == "needs macOS 26"
    assert left["moonshine-voice"] == "needs macOS 15"
    assert left["whisperx"] == "927 MB is more than 1 MB"
    assert "macOS only" not in done.stderr


def test_apple_s_transcriber_is_a_part_of_macos_26(bare: Mac, new_mac: Callable[..., Mac]) -> None:
    done = bare("backends", "install", "apple-speech")
    assert done.returncode == 2
    assert "apple-speech: needs macOS 26 (this is darwin-arm64, macOS 15.5)" in done.stderr

    mac = new_mac(macos="26.0", build="25A354")
    mac.machine.tools.plan(name="apple-speech", version="6.2.3", sdk="26.0", revisions={})
    assert mac("backends", "install", "apple-speech").returncode == 0
    assert mac.where("apple-speech-progressive") == "built here"  # one program for both
    network = "apple-speech-en-us"
    done = mac.measure("apple-speech", model=network)
    assert done.returncode == 4
    assert f"speedtest models pull {network}" in done.stdout
    assert mac("check-models", "-b", "apple-speech", "-m", network).returncode == 6
    assert mac("models", "pull", network).returncode == 0
    assert mac("check-models", "-b", "apple-speech", "-m", network, "--load").returncode == 0
    done = mac.measure("apple-speech", "-b", "apple-speech-progressive", "--json", model=network)
    assert done.returncode == 0, done.stderr
    for backend in ("apple-speech", "apple-speech-progressive"):
        cell = done.cell(backend)
        assert cell["samples"][-1]["text"] == SPOKEN
        assert cell["backend"]["version"] == "25A354"
