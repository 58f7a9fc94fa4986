"""The catalog is well-formed, and a canonical name means one network."""

from __future__ import annotations

import re
from importlib import resources
from itertools import pairwise

import pytest

from conftest import built_in_backends
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends import faster_whisper
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.errors import UsageError

MODELS = list(catalog.models().values())
WHISPER = list(catalog.whisper_models().values())
CANONICAL = [
    *("tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en"),
    *("large-v2", "large-v3", "large-v3-turbo", "distil-large-v3"),
]
SIZE_CLASSES = ("tiny", "base", "small", "medium", "large")
BACKENDS = [backend for backend in built_in_backends() if not backend.networks]
every_whisper = pytest.mark.parametrize("model", WHISPER, ids=lambda model: model.name)
every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)


def _time_outs(size_class: str) -> catalog.Timeouts:
    return catalog.size_classes()[size_class]


def test_the_whisper_models_are_the_canonical_twelve() -> None:
    assert set(catalog.whisper_models()) == set(CANONICAL)
    assert all(model.family == "whisper" for model in WHISPER)


def test_the_other_families_are_known_by_their_own_names() -> None:
    others = {name: model.family for name, model in catalog.models().items()}
    for name in CANONICAL:
        del others[name]
    apple = {name: others.pop(name) for name in list(others) if name.startswith("apple-speech-")}
    assert set(apple.values()) == {"apple-speech"}
    assert others == {
        "parakeet-tdt-0.6b-v2": "parakeet",
        "parakeet-tdt-0.6b-v3": "parakeet",
        "moonshine-tiny-en": "moonshine",
    }


def test_only_the_networks_for_english_refuse_other_languages() -> None:
    english = {model.name for model in MODELS if model.english_only}
    assert english == {
        *(name for name in CANONICAL if name.endswith(".en")),
        *("distil-large-v3", "parakeet-tdt-0.6b-v2", "moonshine-tiny-en"),
        *("apple-speech-en-us", "apple-speech-en-gb"),
    }


def test_a_locale_of_apple_names_the_one_language_of_its_network() -> None:
    apple = [model for model in MODELS if model.family == "apple-speech"]
    assert len(apple) == 10
    for model in apple:
        assert model.only_language == model.name.removeprefix("apple-speech-").split("-")[0]


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
    assert tiny.transcribe_s(30.0) < large.transcribe_s(30.0)


def test_a_transcription_gets_time_for_every_second_and_the_first_one_more() -> None:
    limits = catalog.Timeouts(
        load_s=1.0, transcribe_base_s=10.0, transcribe_per_audio_s=2.0, first_call_factor=3.0
    )
    assert limits.transcribe_s(5.0) == 20.0
    assert limits.first_call_s(5.0) == 60.0


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
    assert set(caught.value.hint.removeprefix("use ").split(" or ")) == choices


@pytest.mark.parametrize(
    ("typed", "near"), [("tiny-en", "tiny.en"), ("smal", "small"), ("large-v4", "large-v3")]
)
def test_an_unknown_name_gets_near_names(typed: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"unknown model '{typed}'") as caught:
        catalog.model(typed)
    suggested, _, command = caught.value.hint.partition("? All: ")
    assert near in suggested
    assert command == "speedtest models list"


def test_a_name_like_nothing_gets_the_command_that_lists_them() -> None:
    with pytest.raises(UsageError) as caught:
        catalog.model("qqqq")
    assert caught.value.hint == "all names: speedtest models list"


@every_backend
@every_whisper
def test_every_backend_has_information_about_every_model(
    backend: Backend, model: catalog.Model
) -> None:
    info = backend.model_info(model.name)
    assert (info.model, info.weights_format) == (model.name, backend.weights_format)
    assert info.precision == backend.weights_precision
    assert info.size_class == model.size_class
    assert info.timeouts == _time_outs(model.size_class)
    kind = catalog.weights_formats()[backend.weights_format]
    row = catalog.find_hosted(model.name, kind.name)
    if kind.extends and row is not None and row.unavailable:
        assert not info.obtainable  # the other part of it
        return
    assert info.obtainable
    source = catalog.SOURCE_FORMAT if kind.converts_to else kind.name
    assert info.origin == catalog.find_hosted(model.name, source)
    assert info.origin is not None
    assert (info.repository, info.revision) == (info.origin.repository, info.origin.revision)
    assert info.files == info.origin.needed_files


@every_backend
def test_what_is_not_the_source_of_conversions_is_converted_from_it(backend: Backend) -> None:
    info = backend.model_info("tiny.en")
    published = not catalog.weights_formats()[backend.weights_format].converts_to
    assert (info.obtained == catalog.AS_PUBLISHED) == published
    assert info.obtained.startswith("converted from Systran/") != published


def test_the_published_size_and_hash_are_those_of_the_weights_file() -> None:
    row = catalog.find_hosted("tiny.en", catalog.SOURCE_FORMAT)
    assert row is not None
    (file,) = (each for each in row.files if each.name == "model.bin")
    info = faster_whisper.BACKEND.model_info("tiny.en")
    assert info.main_file == file


@every_backend
def test_a_network_of_another_family_is_not_for_a_whisper_backend(backend: Backend) -> None:
    info = backend.model_info("parakeet-tdt-0.6b-v2")
    assert not info.obtainable
    assert (info.obtained, info.locations) == ("", ())
    assert info.unavailable == (
        f"{backend.weights_format} holds whisper networks, "
        "and parakeet-tdt-0.6b-v2 is a parakeet one"
    )


@every_backend
def test_information_about_an_unknown_model_is_refused(backend: Backend) -> None:
    with pytest.raises(UsageError, match="unknown model"):
        backend.model_info("tiny.de")
