"""``speedtest models list|path|verify|remove|prune``: what they print, exit with and remove."""

from __future__ import annotations

import functools
import hashlib
import os
import pty
import shutil
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from conftest import Answer, Call, Tool, wait_until
from fakes.hub_cache import Repository, tree
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.hub import HubFile
from mac_whisper_speedtest.weights import locate, revisions
from mac_whisper_speedtest.weights.revisions import CommitListing

KEY = "1a5afae06a4db91c"  # the beginning of the SHA-256 of tiny.en's source
COMMIT = "c0ffee" + "0" * 34
CUSTOM = f"someone/small@{COMMIT}"


@pytest.fixture(scope="module")
def real(shared_cache: Path) -> dict[str, Path]:
    """The real files of tiny.en in the cache that all tests share: official, and as ggml."""
    made = locate.locate(
        catalog.model_info("tiny.en", "ggml", "float16"), notify=lambda _text: None
    )
    return {"official": locate.official("tiny.en").path, "ggml": made.path.parent}


@pytest.fixture
def home(real: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of this test's own: ``cache`` and ``hub`` are in it."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "HF_HOME", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    (home / "hub").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(home / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # whoever asks is refused
    return home


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the tool, the package that carries tiny.en does not seem to be installed."""

    def nothing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", nothing)


@pytest.fixture
def models(speedtest: Call) -> Call:
    """Call ``speedtest models`` in this process, which is quicker than in one of its own."""
    return functools.partial(speedtest, "models")


@pytest.fixture
def ggml(home: Path, real: dict[str, Path]) -> Path:
    """A copy of the real conversion in this test's cache."""
    folder = home / "cache/weights/tiny.en" / real["ggml"].name
    shutil.copytree(real["ggml"], folder)
    return folder


@pytest.fixture
def in_hub(home: Path, real: dict[str, Path]) -> Repository:
    """A copy of the official files in this test's Hugging Face cache."""
    row = catalog.find_hosted("tiny.en", "ctranslate2")
    assert row is not None
    assert row.revision is not None
    repository = Repository(home / "hub", row.repository)
    for file in row.files:
        content = (real["official"] / file.name).read_bytes()
        repository.put(row.revision, file.name, content)
    repository.branch(row.revision)
    return repository


@pytest.fixture
def custom(home: Path) -> Repository:
    """A repository of two files that was pulled by its commit."""
    repository = Repository(home / "hub", "someone/small")
    weights, config = b"weights" * 10, b'{"a": 1}'
    repository.put(COMMIT, "model.safetensors", weights)
    name = git_name(config)
    repository.put(COMMIT, "config.json", config, name)
    files = (
        HubFile("model.safetensors", len(weights), sha256=hashlib.sha256(weights).hexdigest()),
        HubFile("config.json", len(config), git_sha1=name),
    )
    revisions.store_listing(CommitListing("someone/small", COMMIT, files, custom=True))
    return repository


def git_name(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def damage(path: Path) -> None:
    """Another byte in the middle; the size stays."""
    middle = path.stat().st_size // 2
    with path.open("r+b") as stream:
        stream.seek(middle)
        byte = stream.read(1)[0]
        stream.seek(middle)
        stream.write(bytes([byte ^ 1]))


def copies(finished: Answer) -> dict[tuple[str, str], dict[str, Any]]:
    assert finished.out, finished.err
    return {(each["model"], each["format"]): each for each in finished.json["copies"]}


# --- list ----------------------------------------------------------------------------------------


def test_list_says_what_each_model_is_and_whether_it_is_here(
    models: Call, custom: Repository
) -> None:
    document = models("list", "--json").json
    listed = {each["name"]: each for each in document["models"]}
    assert list(listed) == list(catalog.models())
    assert listed["tiny.en"] == {
        "name": "tiny.en",
        "family": "whisper",
        "languages": "English",
        "size_class": "tiny",
        "license": "MIT",
        "format": "ctranslate2",
        "precision": "float16",
        "place": "Systran/faster-whisper-tiny.en@0d3d19a32d3338f10357c0889762bd8d64bbdeba",
        "size_bytes": 78090594,
        "state": "complete",
        "problems": [],
    }
    assert listed["small"]["state"] == "absent"
    assert document["custom"] == [
        {"name": CUSTOM, "size_bytes": 78, "state": "complete", "problems": []}
    ]
    table = models("list").out.splitlines()
    assert len(table) == len(listed) + 3  # the headings, a rule and the custom repository
    assert table[2].split()[:5] == ["tiny.en", "complete", "78", "MB", "English"]
    assert table[-1].split()[0] == CUSTOM


def test_list_tells_half_and_damaged_official_weights(
    models: Call, in_hub: Repository, no_package: None
) -> None:
    snapshot = next((in_hub.folder / "snapshots").iterdir())
    (snapshot / "config.json").unlink()
    first = models("list", "--json").json["models"][0]
    assert (first["state"], first["problems"]) == ("partial", ["config.json is missing"])
    os.truncate(snapshot / "model.bin", 5)
    assert models("list", "--json").json["models"][0]["state"] == "corrupt"


def test_list_imports_no_backend_and_nothing_that_can_ask_anybody() -> None:
    code = (
        "import sys\nfrom mac_whisper_speedtest.cli import main\n"
        "sys.argv = ['speedtest', 'models', 'list']\nmain()\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules} & {'huggingface_hub', 'httpx', "
        "'requests', 'ctranslate2', 'faster_whisper', 'torch', 'mlx', 'pywhispercpp'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# --- path ----------------------------------------------------------------------------------------


def test_path_prints_the_one_path_and_nothing_else(
    models: Call, real: dict[str, Path], ggml: Path, custom: Repository
) -> None:
    assert models("path", "tiny.en").out == f"{real['official']}\n"
    found = models("path", "tiny.en", "--format", "ggml")
    assert (found.out, found.err) == (f"{ggml / 'ggml-model.bin'}\n", "")
    snapshot = custom.folder / "snapshots" / COMMIT
    assert models("path", CUSTOM).out == f"{snapshot}\n"


def test_path_falls_back_to_the_copy_that_a_library_keeps(models: Call, home: Path) -> None:
    row = catalog.find_hosted("tiny.en", "openai")
    assert row is not None
    (file,) = row.files
    kept = home / ".cache/whisper/tiny.en.pt"
    kept.parent.mkdir(parents=True)
    with kept.open("wb") as stream:
        stream.truncate(file.size or 7)
    assert models("path", "tiny.en", "--format", "openai").out == f"{kept}\n"


def test_path_in_a_precision_is_never_that_of_another_one(models: Call, ggml: Path) -> None:
    call = ("path", "tiny.en", "--format", "ggml", "--precision")
    assert models(*call, "float16").code == 0
    other = models(*call, "q5_1")
    assert (other.code, other.out) == (6, "")
    assert "the ggml q5_1 weights of tiny.en are not on this machine" in other.err


def test_path_of_what_is_not_here_exits_with_6_and_says_what_to_type(
    models: Call, home: Path
) -> None:
    for name in ("small", CUSTOM):
        missing = models("path", name)
        assert (missing.code, missing.out) == (6, "")
        assert f"speedtest models pull {name}" in missing.err


def test_path_of_what_has_the_wrong_size_exits_with_7(models: Call, ggml: Path) -> None:
    os.truncate(ggml / "ggml-model.bin", 1000)
    damaged = models("path", "tiny.en", "--format", "ggml")
    assert (damaged.code, damaged.out) == (7, "")
    assert "ggml-model.bin has 1000 bytes" in damaged.err
    assert "speedtest models remove tiny.en --format ggml" in damaged.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("path", "../../x"), "is not a model of the catalog"),
        (("path", "tiny.en", "--precision", "q5_1"), "--precision needs --format"),
        (("path", "tiny.en", "--format", "moonshine-onnx"), "there are no moonshine-onnx weights"),
        (("path", "tiny.en", "--format", "mlx", "--precision", "q5_1"), "not stored in 'q5_1'"),
        (("verify", "large"), "means different networks"),
        (("verify", "--all", "tiny.en"), "--all and a name"),
        (("remove", "../../x", "--yes"), "is not a model of the catalog"),
        (("remove", "a/b@main", "--yes"), "needs a whole commit"),
        (("prune", "--older-than", "-1"), "--older-than is -1"),
        (("prune", "--older-than", "nan"), "--older-than is nan"),
    ],
)
def test_bad_requests_are_refused(
    models: Call, home: Path, arguments: tuple[str, ...], words: str
) -> None:
    finished = models(*arguments)
    assert finished.code == 2
    assert words in finished.err


# --- verify --------------------------------------------------------------------------------------


def test_verify_reads_every_copy_and_believes_nothing_that_is_remembered(
    models: Call, ggml: Path, in_hub: Repository, custom: Repository
) -> None:
    well = models("verify", "--json")
    assert well.code == 0, well.err
    whole = copies(well)
    assert set(whole) == {("tiny.en", "ctranslate2"), ("tiny.en", "ggml"), (CUSTOM, "")}
    assert len(well.json["copies"]) == 4  # official ones in the package and in the hub's cache
    assert {each["outcome"] for each in well.json["copies"]} == {"ok"}
    assert str(Path.home()) not in well.out

    # As if nothing had happened: size and time of modification are what they were.
    model = ggml / "ggml-model.bin"
    before = model.stat()
    damage(model)
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    damaged = models("verify", "tiny.en", "--json")
    assert damaged.code == 7
    found = copies(damaged)["tiny.en", "ggml"]
    assert found["outcome"] == "corrupt"
    (problem,) = found["problems"]
    assert problem.startswith("ggml-model.bin is not what was converted: SHA-256 ")
    assert copies(damaged)["tiny.en", "ctranslate2"]["outcome"] == "ok"


def test_verify_tells_large_and_small_files_of_a_repository(
    models: Call, custom: Repository
) -> None:
    snapshot = custom.folder / "snapshots" / COMMIT
    for name, words in (("model.safetensors", "SHA-256"), ("config.json", "git's name")):
        damage(snapshot / name)
        done = models("verify", CUSTOM)
        assert done.code == 7
        assert done.out.startswith("corrupt ")
        assert f"{name} is not the published file: {words}" in done.out
        damage(snapshot / name)  # the same bit back
    assert models("verify", CUSTOM).out.startswith("ok ")


def test_verify_says_when_no_hash_is_known(models: Call, home: Path) -> None:
    """Of base.en as mlx the catalog pins nothing, and nobody wrote anything down."""
    snapshot = home / "hub/models--mlx-community--whisper-base.en-mlx/snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name in ("weights.npz", "config.json"):
        (snapshot / name).write_bytes(b"anything")
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text(COMMIT, encoding="ascii")
    done = models("verify", "base.en", "--json")
    assert done.code == 0
    (copy,) = done.json["copies"]
    assert copy["outcome"] == "not known"
    assert copy["files_without_hash"] == ["weights.npz", "config.json"]


def test_verify_of_what_is_nowhere_or_not_whole_exits_with_6(
    models: Call, home: Path, custom: Repository
) -> None:
    nowhere = models("verify", "small", CUSTOM, "--json")
    assert nowhere.code == 6
    assert nowhere.json["nowhere"] == ["small"]
    (custom.folder / "snapshots" / COMMIT / "config.json").unlink()
    partial = models("verify", CUSTOM)
    assert partial.code == 6
    assert "config.json is missing" in partial.out


# --- remove and prune ----------------------------------------------------------------------------


def test_remove_shows_what_goes_and_asks_before_it_does(
    models: Call, tool: Tool, home: Path, ggml: Path
) -> None:
    call = ("remove", "tiny.en")
    before = tree(home)
    dry = models(*call, "--dry-run")
    assert dry.code == 0
    assert f"tiny.en: ggml float16, converted: 78 MB: ~/cache/weights/tiny.en/{ggml.name}" in (
        dry.out.splitlines()
    )
    refused = models(*call)
    assert refused.code == 2
    assert "add --yes" in refused.err
    assert asked(tool, call, "n") == 0
    assert tree(home) == before
    assert asked(tool, call, "y") == 0
    assert not ggml.exists()
    assert models(*call).out == "this tool keeps no weights of tiny.en of its own\n"


def asked(tool: Tool, call: tuple[str, ...], answer: str) -> int:
    """Call the tool at a terminal and answer its question."""
    master, slave = pty.openpty()
    try:
        os.write(master, f"{answer}\n".encode())
        done = subprocess.run(
            [sys.executable, "-m", "mac_whisper_speedtest", "models", *call],
            stdin=slave,
            capture_output=True,
            text=True,
            env=tool.environment,
            timeout=60,
            check=False,
        )
    finally:
        os.close(master)
        os.close(slave)
    assert "Continue?" in done.stderr
    return done.returncode


def test_remove_leaves_the_hubs_cache_and_the_package_unless_asked(
    models: Call, real: dict[str, Path], ggml: Path, in_hub: Repository
) -> None:
    before = in_hub.files()
    size = sum(path.stat().st_size for path in ggml.iterdir())
    done = models("remove", "tiny.en", "--yes")
    assert done.out.endswith(f"freed 78 MB ({size} bytes)\n")
    assert in_hub.files() == before
    assert "the Hugging Face cache holds 78 MB of them" in models("remove", "tiny.en").out
    hub = models("remove", "tiny.en", "--hub", "--yes")
    assert hub.out.endswith("freed 78 MB (78090594 bytes)\n")
    assert not in_hub.folder.exists()
    assert (real["official"] / "model.bin").is_file()


def test_remove_of_a_repository_that_was_pulled_by_its_commit(
    models: Call, custom: Repository
) -> None:
    assert "add --hub" in models("remove", CUSTOM, "--yes").out
    assert models("remove", CUSTOM, "--hub", "--yes").code == 0
    assert not custom.folder.exists()
    assert models("path", CUSTOM).code == 6
    assert models("list", "--json").json["custom"] == []


CONVERT = """
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.weights import locate
locate.locate(catalog.model_info("tiny.en", "ggml", "float16"), notify=print)
"""


def test_what_a_killed_conversion_leaves_goes_with_prune_or_with_the_next_conversion(
    models: Call, home: Path
) -> None:
    folder = home / "cache/weights/tiny.en"
    made = folder / f"ggml-float16-{KEY}"

    def staged() -> list[Path]:
        return list(folder.glob(".ggml-*/*"))

    with subprocess.Popen([sys.executable, "-c", CONVERT]) as process:
        wait_until(staged)
        # While it is at work, nothing of it is a leftover.
        process.send_signal(signal.SIGSTOP)
        assert models("prune", "--yes").out == "nothing to remove\n"
        process.kill()
    (left,) = {path.parent for path in staged()}
    assert not made.exists()
    assert models("path", "tiny.en", "--format", "ggml").code == 6

    assert models("prune").code == 2
    pruned = models("prune", "--yes")
    assert f"~/cache/weights/tiny.en/{left.name}" in pruned.out
    assert not left.exists()

    (folder / left.name).mkdir(parents=True)  # of one that was killed later
    subprocess.run([sys.executable, "-c", CONVERT], check=True, timeout=240)
    assert {path.name for path in folder.iterdir()} == {made.name, f"{made.name}.lock"}
    assert models("path", "tiny.en", "--format", "ggml").code == 0
