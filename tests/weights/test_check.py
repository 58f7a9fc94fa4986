"""What is in the folders of every library, in every state it can be in.

A home folder is built by hand, with literal paths: each library's own layout as it is documented,
not as the tool believes it to be. Files that are only looked at by size are holes of that size.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.backend import Backend, BackendModel
from mac_whisper_speedtest.catalog import PublishedFile
from mac_whisper_speedtest.weights import hub_cache
from mac_whisper_speedtest.weights.check import (
    CacheCheck,
    WeightsCheck,
    with_checksums,
)
from mac_whisper_speedtest.weights.inspect import Evidence, WeightsState

SHA = "ab" * 32
GIT_SHA = "cd" * 20
OTHER_COMMIT = "0123456789abcdef0123456789abcdef01234567"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + SHA.encode() + b"\nsize 9\n"


@dataclass(frozen=True)
class Layout:
    """How one library stores one network.

    ``main`` is the file that gets damaged; ``rest`` what else a whole copy holds; ``unfinished``
    what an interrupted download leaves, relative to the home folder.
    """

    backend: str
    network: str
    folder: str
    main: str
    rest: tuple[str, ...]
    unfinished: str
    repository: str = ""
    hashed: bool = True

    @property
    def weights_format(self) -> str:
        return backends()[self.backend].weights_format

    def row(self) -> catalog.HostedWeights:
        found = catalog.find_hosted(self.network, self.weights_format)
        assert found is not None
        return found

    def size(self, name: str) -> int:
        """What the catalog says, else any: the Swift frameworks fetch whatever is newest."""
        pinned = self.weights_format not in {"whisperkit", "fluidaudio"}
        known = {file.name: file.size for file in self.row().files if pinned}
        return known.get(name) or 7


@functools.cache
def backends() -> dict[str, Backend]:
    return registry.installed()


def in_hub(backend: str, network: str, repository: str, main: str, *rest: str) -> Layout:
    base = f".cache/huggingface/hub/models--{repository.replace('/', '--')}"
    row = catalog.find_hosted(network, backends()[backend].weights_format)
    assert row is not None
    assert row.revision is not None
    sha = next((file.sha256 for file in row.files if file.name == main), SHA)
    return Layout(
        backend,
        network,
        f"{base}/snapshots/{row.revision}",
        main,
        rest,
        f"{base}/blobs/{sha}.incomplete",
        repository,
    )


BUNDLE = ("coremldata.bin", "model.mil", "weights/weight.bin")
WHISPERKIT = "Documents/huggingface/models/argmaxinc/whisperkit-coreml"
FLUID = "Library/Application Support/FluidAudio/Models"


def layouts() -> list[Layout]:
    return [
        in_hub(
            "faster-whisper", "tiny", "Systran/faster-whisper-tiny",
            "model.bin", "config.json", "tokenizer.json", "vocabulary.txt",
        ),
        in_hub(
            "insanely-fast-whisper", "tiny", "openai/whisper-tiny",
            "model.safetensors", "config.json", "tokenizer.json", "preprocessor_config.json",
        ),
        in_hub(
            "mlx-whisper", "tiny", "mlx-community/whisper-tiny-mlx",
            "weights.npz", "config.json",
        ),
        in_hub(
            "parakeet-mlx", "parakeet-tdt-0.6b-v2", "mlx-community/parakeet-tdt-0.6b-v2",
            "model.safetensors", "config.json",
        ),
        Layout(
            "whisper.cpp", "tiny", ".local/share/pywhispercpp/models", "ggml-tiny.bin", (), "",
        ),
        Layout(
            "lightning-whisper-mlx", "base", "mlx_models/base", "weights.npz", ("config.json",),
            "mlx_models/base/.cache/huggingface/download/x.abc.incomplete",
        ),
        Layout("whisper-mps", "tiny", ".cache/whisper", "tiny.pt", (), ""),
        Layout(
            "whisperkit", "tiny", f"{WHISPERKIT}/openai_whisper-tiny",
            "AudioEncoder.mlmodelc/weights/weight.bin",
            (
                *(f"{name}.mlmodelc/{file}" for name in ("TextDecoder", "MelSpectrogram")
                  for file in BUNDLE),
                *(f"AudioEncoder.mlmodelc/{file}" for file in BUNDLE[:2]),
                "config.json", "generation_config.json",
                "../../../openai/whisper-tiny/tokenizer.json",
                "../../../openai/whisper-tiny/tokenizer_config.json",
            ),
            f"{WHISPERKIT}/.cache/huggingface/download/openai_whisper-tiny/AudioEncoder.mlmodelc/"
            "weights/x.incomplete",
        ),
        Layout(
            "fluidaudio", "parakeet-tdt-0.6b-v3", f"{FLUID}/parakeet-tdt-0.6b-v3",
            "Encoder.mlmodelc/weights/weight.bin",
            (
                *(f"{name}.mlmodelc/coremldata.bin"
                  for name in ("Preprocessor", "Encoder", "Decoder", "JointDecisionv3")),
                "parakeet_vocab.json",
            ),
            f"{FLUID}/parakeet-tdt-0.6b-v3/Encoder.mlmodelc/weights/weight.bin.partial",
            hashed=False,
        ),
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and nothing in the environment that leads out of it."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "MOONSHINE_VOICE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "speedtest"))
    # pywhispercpp asks platformdirs, whose answer depends on the system the tests run on.
    monkeypatch.setattr("platformdirs.user_data_dir", lambda app: f"{tmp_path}/.local/share/{app}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(path: Path, size: int) -> None:
    """A hole of that size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.truncate(size)


def put_file(home: Path, layout: Layout, name: str) -> None:
    """One file where its library stores it: in a hub cache a link to a blob, else itself."""
    path = home / layout.folder / name
    size = layout.size(name)
    if not layout.repository:
        put(path, size)
        return
    sha = next((file.sha256 for file in layout.row().files if file.name == name), None)
    blob = home / layout.folder / "../../blobs" / (sha or f"{hash(name) & 0xFFFF:040x}")
    put(Path(os.path.normpath(blob)), size)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(Path("../../blobs") / blob.name)


def whole(home: Path, layout: Layout) -> Path:
    """A whole copy; the path of its main file."""
    for name in (layout.main, *layout.rest):
        put_file(home, layout, name)
    return home / layout.folder / layout.main


def replace_with(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def truncated(main: Path) -> None:
    os.truncate(main, main.stat().st_size - 1)


def emptied(main: Path) -> None:
    os.truncate(main, 0)


def a_folder(main: Path) -> None:
    main.unlink()
    main.mkdir()


def dangling(main: Path) -> None:
    target = Path(os.path.realpath(main))
    if main.is_symlink():
        target.unlink()
    else:
        main.unlink()
        main.symlink_to("gone")


def unreadable(main: Path) -> None:
    """Root may read everything, so a link to itself stands for what cannot be looked at."""
    main.unlink()
    main.symlink_to(main.name)


def check(layout: Layout) -> WeightsCheck:
    return CacheCheck().check(backends()[layout.backend].model_info(layout.network))


CASES: dict[str, tuple[Callable[[Path], None], WeightsState, str]] = {
    "whole": (lambda _main: None, WeightsState.COMPLETE, ""),
    "empty": (emptied, WeightsState.CORRUPT, "0 bytes|is empty"),
    "git-lfs pointer": (
        lambda main: replace_with(main, POINTER),
        WeightsState.CORRUPT,
        "git-lfs pointer",
    ),
    "folder": (a_folder, WeightsState.CORRUPT, "is not a file"),
    "dangling link": (dangling, WeightsState.PARTIAL, "link to a missing file"),
    "unreadable": (unreadable, WeightsState.NOT_CHECKABLE, "cannot be examined"),
}


@pytest.mark.parametrize("layout", layouts(), ids=lambda layout: layout.backend)
@pytest.mark.parametrize("case", CASES)
def test_each_librarys_own_folder_is_judged_right(home: Path, layout: Layout, case: str) -> None:
    damage, state, words = CASES[case]
    damage(whole(home, layout))
    found = check(layout)
    assert found.state is state, found
    if words:
        assert found.problems
        assert any(word in " ".join(found.problems) for word in words.split("|"))
    else:
        assert found.problems == ()


@pytest.mark.parametrize("layout", layouts(), ids=lambda layout: layout.backend)
def test_nothing_there_is_absent(layout: Layout) -> None:
    found = check(layout)
    assert (found.state, found.problems) == (WeightsState.ABSENT, ())


@pytest.mark.parametrize("layout", layouts(), ids=lambda layout: layout.backend)
def test_a_missing_file_is_named(home: Path, layout: Layout) -> None:
    main = whole(home, layout)
    if layout.rest:
        main.unlink()
        found = check(layout)
        assert found.state is WeightsState.PARTIAL
        assert f"{layout.main} is missing" in found.problems
    else:  # the only file: without it there is nothing
        main.unlink()
        assert check(layout).state is WeightsState.ABSENT


@pytest.mark.parametrize(
    "layout", [each for each in layouts() if each.unfinished], ids=lambda layout: layout.backend
)
def test_an_unfinished_download_is_partial_and_named(home: Path, layout: Layout) -> None:
    whole(home, layout).unlink()
    put(home / layout.unfinished, 3)
    found = check(layout)
    assert found.state is WeightsState.PARTIAL
    assert any("was never finished" in problem for problem in found.problems)


@pytest.mark.parametrize(
    "layout", [each for each in layouts() if each.unfinished], ids=lambda layout: layout.backend
)
def test_an_unfinished_download_alone_is_partial_too(home: Path, layout: Layout) -> None:
    put(home / layout.unfinished, 3)
    assert check(layout).state is WeightsState.PARTIAL


@pytest.mark.parametrize("layout", layouts(), ids=lambda layout: layout.backend)
def test_a_truncated_file_is_corrupt_where_its_size_is_known(home: Path, layout: Layout) -> None:
    truncated(whole(home, layout))
    known = layout.size(layout.main) != 7
    assert check(layout).state is (WeightsState.CORRUPT if known else WeightsState.COMPLETE)
    # The commit of a Swift framework's copy is not known; the result states what was checked.
    assert known or check(layout).evidence is Evidence.NAMES


@pytest.mark.parametrize(
    "layout",
    # parakeet-mlx's 2.5 GB would take long to hash; its layout is mlx-whisper's.
    [each for each in layouts() if each.backend != "parakeet-mlx"],
    ids=lambda layout: layout.backend,
)
def test_a_file_of_the_right_size_and_wrong_content_is_found_by_its_hash(
    home: Path, layout: Layout
) -> None:
    """Holes are not what was published, whatever their size."""
    whole(home, layout)
    if layout.backend == "whisperkit":  # it notes down what it fetched
        note = home / WHISPERKIT / ".cache/huggingface/download/openai_whisper-tiny"
        note = note / f"{layout.main}.metadata"
        note.parent.mkdir(parents=True)
        note.write_text(f"{OTHER_COMMIT}\n{SHA}\n1700000000.0\n", encoding="utf-8")
    before = check(layout)
    assert before.state is WeightsState.COMPLETE
    (after,) = with_checksums([before])
    if layout.hashed:
        assert after.state is WeightsState.CORRUPT
        assert any("is not the published file" in problem for problem in after.problems)
    else:  # FluidAudio notes nothing down and the catalog knows no hashes: it is not claimed
        assert (after.state, after.evidence) == (WeightsState.COMPLETE, Evidence.NAMES)


@pytest.mark.parametrize(
    "layout", [each for each in layouts() if each.repository], ids=lambda layout: layout.backend
)
def test_another_revision_is_not_the_pinned_one(home: Path, layout: Layout) -> None:
    main = whole(home, layout)
    main.parent.rename(main.parent.with_name(OTHER_COMMIT))
    found = check(layout)
    assert found.state is WeightsState.ABSENT
    remarks = [remark for copy in found.copies for remark in copy.remarks]
    assert any("another revision is here (01234567)" in remark for remark in remarks)


def test_an_unpinned_repository_is_judged_at_the_commit_its_branch_is_at(home: Path) -> None:
    layout = Layout("mlx-whisper", "base.en", "", "weights.npz", ("config.json",), "")
    assert layout.row().revision is None
    base = home / ".cache/huggingface/hub/models--mlx-community--whisper-base.en-mlx"
    put(base / "snapshots" / OTHER_COMMIT / "weights.npz", 9)
    put(base / "snapshots" / OTHER_COMMIT / "config.json", 9)
    assert check(layout).state is WeightsState.ABSENT  # no branch leads there
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text(OTHER_COMMIT, encoding="ascii")
    found = check(layout)
    assert (found.state, found.evidence) == (WeightsState.COMPLETE, Evidence.NAMES)
    (base / "refs" / "main").write_text("../../../..", encoding="ascii")
    assert check(layout).state is WeightsState.ABSENT


def test_fluidaudios_old_folder_is_told_apart(home: Path) -> None:
    layout = next(each for each in layouts() if each.backend == "fluidaudio")
    whole(home, layout)
    folder = home / layout.folder
    folder.rename(folder.with_name(f"{folder.name}-coreml"))
    found = check(layout)
    assert found.state is WeightsState.ABSENT
    assert any("FluidAudio 0.13.2" in remark for copy in found.copies for remark in copy.remarks)


def test_whisperkits_other_commit_is_only_remarked_upon(home: Path) -> None:
    layout = next(each for each in layouts() if each.backend == "whisperkit")
    whole(home, layout)
    note = (
        home / WHISPERKIT / ".cache/huggingface/download/openai_whisper-tiny/config.json.metadata"
    )
    note.parent.mkdir(parents=True)
    note.write_text(f"{OTHER_COMMIT}\n{GIT_SHA}\n1700000000.0\n", encoding="utf-8")
    found = check(layout)
    assert found.state is WeightsState.COMPLETE
    assert any("01234567" in remark for copy in found.copies for remark in copy.remarks)


def test_whisperkits_tokenizer_may_lie_inside_the_models_folder(home: Path) -> None:
    layout = next(each for each in layouts() if each.backend == "whisperkit")
    whole(home, layout)
    outside = home / "Documents/huggingface/models/openai/whisper-tiny/tokenizer.json"
    inside = home / layout.folder / "tokenizer.json"
    shutil.move(outside, inside)
    assert check(layout).state is WeightsState.COMPLETE
    inside.unlink()
    found = check(layout)
    assert found.state is WeightsState.PARTIAL
    assert "tokenizer.json is missing" in found.problems


def test_the_tools_copy_decides_and_a_damaged_other_one_is_still_told(home: Path) -> None:
    """A run takes the tool's own copy; what is in the library's folder does not change that."""
    layout = next(each for each in layouts() if each.backend == "whisper.cpp")
    truncated(whole(home, layout))
    assert check(layout).state is WeightsState.CORRUPT
    key = "dcb76c6586fc06cb"  # the beginning of the source's SHA-256
    folder = home / "speedtest/weights/tiny" / f"ggml-float16-{key}"
    put(folder / "ggml-model.bin", 11)
    write_record(folder, {"ggml-model.bin": 11})
    found = check(layout)
    assert found.state is WeightsState.COMPLETE
    assert any("pywhispercpp's folder" in problem for problem in found.problems)


def write_record(folder: Path, sizes: dict[str, int]) -> None:
    import msgspec

    from mac_whisper_speedtest.convert.record import ConversionRecord, FileRecord

    record = ConversionRecord(
        format_version=1,
        converter="test",
        converter_version="0",
        upstream={},
        source_format="ctranslate2",
        source_files=(),
        source_network_sha256=SHA,
        target_format="ggml",
        precision="float16",
        lossless=True,
        values=1,
        changed_values=0,
        network_sha256=SHA,
        output_files=tuple(FileRecord(name, size, SHA) for name, size in sizes.items()),
    )
    (folder / "provenance.json").write_bytes(msgspec.json.encode(record))


def test_a_conversion_without_its_record_is_corrupt(home: Path) -> None:
    layout = next(each for each in layouts() if each.backend == "whisper.cpp")
    put(home / "speedtest/weights/tiny/ggml-float16-dcb76c6586fc06cb/ggml-model.bin", 11)
    found = check(layout)
    assert found.state is WeightsState.CORRUPT
    assert any("provenance.json cannot be read" in problem for problem in found.problems)


def test_absent_weights_that_can_be_made_from_whole_ones_say_so(home: Path) -> None:
    source = next(each for each in layouts() if each.backend == "faster-whisper")
    layout = next(each for each in layouts() if each.backend == "whisper.cpp")
    assert not check(layout).can_be_converted
    main = whole(home, source)
    found = check(layout)
    assert found.state is WeightsState.ABSENT
    assert found.can_be_converted
    truncated(main)
    assert not check(layout).can_be_converted


def test_what_a_backend_cannot_hold_is_unavailable() -> None:
    found = CacheCheck().check(catalog.model_info("parakeet-tdt-0.6b-v2", "ggml", "float16"))
    assert found.state is WeightsState.UNAVAILABLE
    assert "parakeet" in found.reason


def test_a_form_nobody_knows_is_not_checkable() -> None:
    found = CacheCheck().check(catalog.model_info("tiny", "my-own", "float16"))
    assert found.state is WeightsState.NOT_CHECKABLE
    assert "my-own" in found.reason


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"HF_HOME": "~/elsewhere"},
        {"HF_HOME": "$HOME/there"},
        {"HF_HUB_CACHE": "/somewhere/hub"},
        {"HUGGINGFACE_HUB_CACHE": "/legacy/hub"},
        {"HF_HUB_CACHE": "/a", "HF_HOME": "/b"},
        {"XDG_CACHE_HOME": "/xdg"},
    ],
    ids=str,
)
def test_the_hub_cache_is_where_huggingface_hub_says(
    variables: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    code = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert str(hub_cache.cache_dir()) == done.stdout.strip()


def test_a_description_may_name_a_folder_whose_contents_are_its_own_affair(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    mine = Backend(name="mine", models={"tiny": BackendModel(weights)})
    info = mine.model_info("tiny")
    assert CacheCheck().check(info).state is WeightsState.ABSENT
    weights.mkdir()
    assert CacheCheck().check(info).state is WeightsState.COMPLETE


def test_a_small_file_is_told_by_the_name_that_git_has_for_it(home: Path) -> None:
    """The hub states no SHA-256 of those; the blob that the link leads to has git's name."""
    base = home / ".cache/huggingface/hub/models--mlx-community--whisper-base.en-mlx"
    snapshot = base / "snapshots" / OTHER_COMMIT
    snapshot.mkdir(parents=True)
    (base / "blobs").mkdir()
    for name, content in {"weights.npz": b"weights", "config.json": b"{}\n"}.items():
        git_name = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        (base / "blobs" / git_name).write_bytes(content)
        (snapshot / name).symlink_to(f"../../blobs/{git_name}")
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text(OTHER_COMMIT, encoding="ascii")
    layout = Layout("mlx-whisper", "base.en", "", "weights.npz", ("config.json",), "")
    (whole_copy,) = with_checksums([check(layout)])
    assert (whole_copy.state, whole_copy.evidence) == (WeightsState.COMPLETE, Evidence.HASHES)
    (snapshot / "config.json").resolve().write_bytes(b"[]\n")
    (altered,) = with_checksums([check(layout)])
    assert altered.state is WeightsState.CORRUPT
    assert any("config.json" in problem for problem in altered.problems)


def test_what_a_description_states_of_its_files_is_looked_at_by_size_and_by_hash(
    tmp_path: Path,
) -> None:
    sha256 = hashlib.sha256(b"right").hexdigest()
    files = (PublishedFile("a.bin", 5, sha256), PublishedFile("b.bin", 5, sha256))
    stated = BackendModel(tmp_path / "weights", files=files)
    info = Backend(name="mine", models={"tiny": stated}).model_info("tiny")
    (tmp_path / "weights").mkdir()
    states = [CacheCheck().check(info).state]
    for name, content in [("a.bin", b"right"), ("b.bin", b"short"), ("b.bin", b"too long")]:
        (tmp_path / "weights" / name).write_bytes(content)
        by_size = CacheCheck().check(info)
        (by_hash,) = with_checksums([by_size], fresh=True)
        states += [by_size.state, by_hash.state]
    assert states == [
        WeightsState.ABSENT,
        *(WeightsState.PARTIAL, WeightsState.PARTIAL),
        *(WeightsState.COMPLETE, WeightsState.CORRUPT),
        *(WeightsState.CORRUPT, WeightsState.CORRUPT),
    ]
