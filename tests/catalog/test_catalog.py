"""The catalogue is well-formed, and a canonical name means one network."""

from __future__ import annotations

import re
from importlib import resources
from itertools import pairwise
from pathlib import PurePosixPath

import pytest

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends import faster_whisper, mlx_whisper, whisper_cpp
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.errors import UsageError

MODELS = list(catalog.models().values())
SIZE_CLASSES = ("tiny", "base", "small", "medium", "large")
BACKENDS = [faster_whisper.BACKEND, whisper_cpp.BACKEND, mlx_whisper.BACKEND]
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)


def _time_outs(size_class: str) -> catalog.TimeOuts:
    return next(model.time_outs for model in MODELS if model.size_class == size_class)


@every_model
def test_a_row_has_a_name_a_class_a_language_a_repository_and_a_licence(
    model: catalog.Model,
) -> None:
    assert re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", model.name)
    assert model.size_class in SIZE_CLASSES
    assert model.languages in {"en", "many"}
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", model.repository)
    assert model.licence
    assert model.revision is None or re.fullmatch(r"[0-9a-f]{40}", model.revision)


@every_model
def test_a_name_that_ends_in_en_knows_only_english(model: catalog.Model) -> None:
    if model.name.endswith(".en"):
        assert model.english_only


@every_model
def test_a_name_is_found_in_its_own_repository(model: catalog.Model) -> None:
    words = set(re.split(r"[-/]", model.repository))
    assert set(model.name.split("-")) <= words


@every_model
def test_files_have_plain_names_sizes_and_hashes_and_come_with_a_revision(
    model: catalog.Model,
) -> None:
    names = [file.name for file in model.files]
    assert len(names) == len(set(names))
    for file in model.files:
        assert PurePosixPath(file.name).name == file.name
        assert file.size > 0
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
    if model.files:
        assert {"model.bin", "config.json", "tokenizer.json"} <= set(names)
        assert model.revision


@every_model
def test_a_mirror_is_trusted_only_where_every_hash_is_known(model: catalog.Model) -> None:
    if model.mirror is not None:
        assert model.files
        assert model.mirror.version
        folder = PurePosixPath(model.mirror.folder)
        assert not folder.is_absolute()
        assert ".." not in folder.parts


def test_no_two_files_have_the_same_hash() -> None:
    hashes = [file.sha256 for model in MODELS for file in model.files]
    assert len(hashes) == len(set(hashes))


def test_names_are_keys_and_no_repository_serves_two_of_them() -> None:
    assert list(catalog.models()) == [model.name for model in MODELS]
    repositories = [model.repository for model in MODELS]
    assert len(repositories) == len(set(repositories))


def test_no_row_of_the_file_is_hidden_by_another_of_the_same_name() -> None:
    text = (resources.files(catalog) / "models.toml").read_text(encoding="utf-8")
    assert len(re.findall(r"^\[\[model\]\]$", text, re.MULTILINE)) == len(MODELS)


@pytest.mark.parametrize(("smaller", "larger"), list(pairwise(SIZE_CLASSES)))
def test_a_larger_size_class_never_gets_less_time(smaller: str, larger: str) -> None:
    less, more = _time_outs(smaller), _time_outs(larger)
    assert 0 < less.load_s <= more.load_s
    assert 0 < less.transcribe_base_s <= more.transcribe_base_s
    assert 0 < less.transcribe_per_audio_s <= more.transcribe_per_audio_s


def test_the_largest_class_gets_more_time_than_the_smallest() -> None:
    tiny, large = _time_outs("tiny"), _time_outs("large")
    assert tiny.load_s < large.load_s
    assert tiny.transcribe_s(30.0, first=False) < large.transcribe_s(30.0, first=False)


def test_a_transcription_gets_time_for_every_second_and_the_first_one_more() -> None:
    limits = catalog.TimeOuts(
        load_s=1.0, transcribe_base_s=10.0, transcribe_per_audio_s=2.0, first_call_factor=3.0
    )
    assert limits.transcribe_s(5.0, first=False) == 20.0
    assert limits.transcribe_s(5.0, first=True) == 60.0


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("large", {"large-v2", "large-v3", "large-v3-turbo", "distil-large-v3"}),
        ("turbo", {"large-v3-turbo"}),
    ],
)
def test_a_name_that_means_several_networks_is_refused_with_the_choices(
    name: str, choices: set[str]
) -> None:
    with pytest.raises(UsageError, match=f"'{name}' means different networks") as caught:
        catalog.model(name)
    assert set(caught.value.hint.removeprefix("say ").split(" or ")) == choices


@pytest.mark.parametrize(
    ("typed", "near"), [("tiny-en", "tiny.en"), ("smal", "small"), ("large-v4", "large-v3")]
)
def test_an_unknown_name_gets_near_names_and_all_names(typed: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"unknown model '{typed}'") as caught:
        catalog.model(typed)
    suggested, _, known = caught.value.hint.partition("known: ")
    assert near in suggested
    assert known == ", ".join(catalog.models())


def test_a_name_like_nothing_gets_no_suggestion() -> None:
    with pytest.raises(UsageError) as caught:
        catalog.model("qqqq")
    assert caught.value.hint.startswith("known: ")


@every_backend
@every_model
def test_every_backend_has_information_about_every_model(
    backend: Backend, model: catalog.Model
) -> None:
    info = backend.model_info(model.name)
    assert (info.model, info.form) == (model.name, backend.form)
    assert info.precision == backend.weights_precision
    assert info.time_outs == model.time_outs
    assert info.location.endswith(f"{model.repository}@{model.revision or 'unpinned'}")


@every_backend
def test_only_published_files_have_a_published_size_and_hash(backend: Backend) -> None:
    info = backend.model_info("tiny.en")
    published = backend.form == catalog.SOURCE_FORM
    assert info.location.startswith("converted from ") != published
    assert (info.size_bytes is not None) == published
    assert (info.sha256 is not None) == published


def test_the_published_size_and_hash_are_those_of_the_weights_file() -> None:
    (file,) = (each for each in catalog.model("tiny.en").files if each.name == "model.bin")
    info = faster_whisper.BACKEND.model_info("tiny.en")
    assert (info.size_bytes, info.sha256) == (file.size, file.sha256)


@every_backend
def test_information_about_an_unknown_model_is_refused(backend: Backend) -> None:
    with pytest.raises(UsageError, match="unknown model"):
        backend.model_info("tiny.de")
