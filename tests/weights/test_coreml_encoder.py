"""The encoder for Core ML: pulled, unpacked with suspicion, and put beside whisper.cpp's file."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import Call, write_tone
from fakes.hub import Hub
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.catalog import HostedWeights, PublishedFile, hosted
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError
from mac_whisper_speedtest.weights import (
    check,
    coreml_encoder,
    hub_cache,
    inventory,
    locate,
    pull,
    remove,
    repair,
)
from mac_whisper_speedtest.weights.damage import DamagedError
from mac_whisper_speedtest.weights.inspect import WeightsState
from weights.conftest import Seen

ROOT = "ggml-tiny.en-encoder.mlmodelc"
BUNDLE = {
    "coremldata.bin": b"core",
    "model.mil": b"program(1.0)",
    "weights/weight.bin": bytes(range(256)) * 64,
    "metadata.json": b"[]",
    "analytics/coremldata.bin": b"more",
}
Entries = dict[str | zipfile.ZipInfo, bytes]


def honest() -> Entries:
    return {f"{ROOT}/{name}": content for name, content in BUNDLE.items()}


def zipped(path: Path, entries: Entries) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir(ROOT)
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_bundle_is_unpacked_without_what_the_finder_adds(tmp_path: Path) -> None:
    clutter: Entries = {f"__MACOSX/{ROOT}/._model.mil": b"x", f"{ROOT}/.DS_Store": b"x"}
    archive = zipped(tmp_path / "encoder.zip", {**honest(), **clutter})
    names = coreml_encoder.unpack(archive, tmp_path / "bundle")
    assert tree(tmp_path / "bundle") == BUNDLE
    assert set(names) == set(BUNDLE)


HOSTILE: dict[str, tuple[Callable[[], Entries], str]] = {
    "a path that leads out": (lambda: {**honest(), f"{ROOT}/../../out": b"x"}, "plain path"),
    "a path from the top": (lambda: {**honest(), f"/{ROOT}/out": b"x"}, "plain path"),
    "a path of Windows": (lambda: {**honest(), f"{ROOT}\\..\\out": b"x"}, "plain path"),
    "a drive": (lambda: {**honest(), f"C:/{ROOT}/out": b"x"}, "plain path"),
    "a link": (lambda: {**honest(), link(f"{ROOT}/passwd"): b"/etc/passwd"}, "a link or a device"),
    "a file beside the bundle": (lambda: {**honest(), "out": b"x"}, r"is in no \.mlmodelc folder"),
    "another folder": (lambda: {**honest(), "out/in": b"x"}, r"is in no \.mlmodelc folder"),
    "two bundles": (lambda: {**honest(), "b.mlmodelc/x": b"x"}, "holds 2 Core ML models, not one"),
    "nothing": (dict, "holds 0 Core ML models, not one"),
    "a name twice on a Mac": (lambda: {**honest(), f"{ROOT}/MODEL.MIL": b"x"}, "twice"),
    "no weights": (
        lambda: {k: v for k, v in honest().items() if "weight.bin" not in str(k)},
        "holds no weights/weight.bin",
    ),
    "a bomb": (
        lambda: {**honest(), f"{ROOT}/zeros": bytes(9_000_000)},
        r"unpacks to 9 MB, at most",
    ),
    "many files": (
        lambda: {**honest(), **{f"{ROOT}/{number}": b"" for number in range(80)}},
        "holds 85 files, at most 64",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_honest_archive_holds_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    entries, message = HOSTILE[name]
    archive = zipped(tmp_path / "encoder.zip", entries())
    before = tree(tmp_path)
    with pytest.raises(WeightsError, match=rf"^encoder\.zip .*{message}"):
        coreml_encoder.unpack(archive, tmp_path / "inside" / "bundle")
    assert tree(tmp_path) == before


def test_an_archive_that_lies_about_its_contents_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "encoder.zip", honest())
    data = archive.read_bytes()
    for at in range(0, len(data), 97):
        archive.write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        folder = tmp_path / str(at)
        try:
            coreml_encoder.unpack(archive, folder / "bundle")
        except WeightsError:
            continue
        # Dates and permissions may differ, and a file's name; never a content.
        assert set(tree(folder / "bundle").values()) <= set(BUNDLE.values())
        assert {path.name for path in folder.iterdir()} == {"bundle"}


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "encoder.zip", honest())
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(WeightsError, match=r"encoder\.zip cannot be unpacked"):
        coreml_encoder.unpack(archive, tmp_path / "bundle")


@pytest.fixture
def encoder(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostedWeights:
    """The hub offers a small encoder of tiny.en, and the catalog pins that one."""
    archive = zipped(tmp_path / "encoder.zip", honest())
    row = pull.row_for("tiny.en", "ggml-coreml")
    content = archive.read_bytes()
    pinned = PublishedFile(row.files[0].name, len(content), hashlib.sha256(content).hexdigest())
    small = replace(row, files=(pinned,))
    rows = {
        name: tuple(small if each == row else each for each in those)
        for name, those in catalog.hosted_by_model().items()
    }
    monkeypatch.setattr(hosted, "hosted_by_model", lambda: rows)
    monkeypatch.setattr(catalog, "hosted_by_model", lambda: rows)
    assert row.revision is not None
    hub.add(row.repository, row.revision, {pinned.name: archive, "ggml-tiny.en.bin": b"other"})
    return small


def quiet(_text: str) -> None:
    pass


def info(precision: str = "float16") -> catalog.ModelInfo:
    return catalog.model_info("tiny.en", "ggml-coreml", precision, backend="whisper.cpp-coreml")


def test_the_encoder_alone_is_fetched_after_what_is_converted(
    hub: Hub, encoder: HostedWeights, seen: Seen
) -> None:
    assert [row.format for row in pull.rows_for("base.en", "ggml-coreml")] == [
        "ctranslate2",
        "ggml-coreml",
    ]
    # The official weights of tiny.en are here, in the package that mirrors them.
    assert pull.rows_for("tiny.en", "ggml-coreml") == (encoder,)
    assert pull.rows_for("tiny.en", "ggml") == (pull.row_for("tiny.en", "ggml"),)
    folder = pull.pull_row(encoder, notify=seen.messages.append)
    assert [path.name for path in folder.iterdir()] == [encoder.files[0].name]
    assert {request.name for request in hub.bodies()} == {encoder.files[0].name}


def test_without_its_encoder_the_command_that_fetches_it_is_named(
    encoder: HostedWeights,
) -> None:
    with pytest.raises(WeightsMissingError) as caught:
        locate.locate(info(), notify=quiet)
    command = "speedtest models pull tiny.en --format ggml-coreml"
    assert caught.value.hint == command
    found = check.CacheCheck().check(info())
    assert found.state is WeightsState.ABSENT
    assert not found.can_be_converted
    assert check.advice(found) == command
    (needed,) = check.needs(found)
    assert (needed.row, needed.missing_bytes) == (encoder, encoder.files[0].size)


@pytest.mark.usefixtures("encoder")
def test_encoders_of_one_repository_are_counted_each() -> None:
    checks = [
        check.CacheCheck().check(catalog.model_info(name, "ggml-coreml", "float16"))
        for name in ("base", "small")
    ]
    assert len(check.cost(checks).needs) == 4


def test_the_encoder_is_put_where_whisper_cpp_looks_and_a_plain_one_never_does(
    encoder: HostedWeights, seen: Seen, tmp_path: Path
) -> None:
    pull.pull_row(encoder, notify=quiet)
    assert check.CacheCheck().check(info()).can_be_converted

    found = locate.locate(info(), notify=seen.messages.append)

    # By whisper.cpp's own rule: the name without its extension, and a suffix.
    bundle = found.path.with_name("ggml-model-encoder.mlmodelc")
    assert found.path.name == "ggml-model.bin"
    assert tree(bundle) == BUNDLE
    assert set(found.files) == {"ggml-model.bin"} | {f"{bundle.name}/{name}" for name in BUNDLE}
    assert found.network_sha256 == catalog.model("tiny.en").network_sha256
    assert encoder.place in found.source
    assert seen.messages[-1].startswith(f"unpacking {encoder.files[0].name} beside the ggml")

    plain = locate.locate(catalog.model_info("tiny.en", "ggml", "float16"), notify=quiet)
    assert plain.path.parent != found.path.parent
    assert {path.name for path in plain.path.parent.iterdir()} == {
        "ggml-model.bin",
        "provenance.json",
    }
    assert plain.files["ggml-model.bin"] == found.files["ggml-model.bin"]
    # One file on the disk, under two names.
    assert plain.path.samefile(found.path)

    whole = check.CacheCheck().check(info())
    assert whole.state is WeightsState.COMPLETE
    assert whole.chosen is not None
    assert whole.chosen.path == found.path
    stored = {
        (each.format, each.copy.location.kind) for each in inventory.installed_weights("tiny.en")
    }
    assert {("ggml-coreml", "converted"), ("ggml-coreml", "hub")} <= stored
    assert remove.plan_pruning() == []
    assert hub_cache.parse(found.path.parent.name) is not None

    (bundle / "weights" / "weight.bin").write_bytes(bytes(len(BUNDLE["weights/weight.bin"])))
    with pytest.raises(DamagedError, match=r"weights/weight\.bin of tiny\.en is not what was"):
        locate.locate(info(), notify=quiet, fresh=True)
    done: list[str] = []
    again = repair.repair(
        lambda: locate.locate(info(), notify=quiet, fresh=True), notify=quiet, done=done
    )
    assert again.files == found.files
    assert len(done) == 1


def test_an_archive_that_is_no_bundle_leaves_nothing_behind(
    encoder: HostedWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull.pull_row(encoder, notify=quiet)
    monkeypatch.setattr(coreml_encoder, "MOST_FILES", 1)
    with pytest.raises(WeightsError, match="at most 1 are unpacked"):
        locate.locate(info(), notify=quiet)
    assert [path.name for path in (hub_cache.root() / "tiny.en").iterdir() if path.is_dir()] == [
        path.parent.name
        for path in [
            locate.locate(catalog.model_info("tiny.en", "ggml", "float16"), notify=quiet).path
        ]
    ]


def test_a_run_reports_the_device_that_ran_the_encoder_instead_of_core_ml(
    encoder: HostedWeights, speedtest: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real whisper.cpp, of the kind that has no Core ML."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    pytest.importorskip("pywhispercpp")
    pull.pull_row(encoder, notify=quiet)
    tone = write_tone(tmp_path / "tone.wav", seconds=0.5)
    described = tmp_path / "coreml.toml"
    described.write_text(
        '[backend]\nname = "coreml"\nweights_format = "ggml-coreml"\n'
        'adapter = "mac_whisper_speedtest.backends.whisper_cpp:WhisperCpp"\n'
    )
    done = speedtest(
        *("run", "-b", described, "-m", "tiny.en", "--audio", tone, "--rounds", 1),
        *("--passes", 1, "--threads", 2, "--no-retake", "--json"),
    )
    assert done.code == 0, done.err
    said = "Core ML did not load its encoder, which ran on cpu instead"
    (cell,) = done.json["cells"]
    assert cell["model"]["info"]["format"] == "ggml-coreml"
    assert "ggml-model-encoder.mlmodelc/weights/weight.bin" in cell["model"]["weights"]["files"]
    (finding,) = [each for each in cell["summary"]["findings"] if each["kind"] == "device"]
    assert finding["message"] == said
