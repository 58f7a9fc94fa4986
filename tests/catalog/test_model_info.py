"""ModelInfo: explicit time-outs by size class, every location, and what a description states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from conftest import built_in_backends
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends.backend import Backend, BackendModel
from mac_whisper_speedtest.catalog import LocationKind, PublishedFile, Timeouts
from mac_whisper_speedtest.run import plan
from mac_whisper_speedtest.run.rounds import deadlines

# Seconds: load, any transcription, and for each second of audio. Written out, not computed.
TIMES = {
    "tiny": (120.0, 120.0, 10.0),
    "base": (120.0, 120.0, 10.0),
    "small": (240.0, 240.0, 20.0),
    "medium": (480.0, 480.0, 40.0),
    "large": (900.0, 600.0, 60.0),
}
CLASSES = {
    "tiny.en": "tiny",
    "tiny": "tiny",
    "base": "base",
    "base.en": "base",
    "small": "small",
    "small.en": "small",
    "medium": "medium",
    "medium.en": "medium",
    "large-v2": "large",
    "large-v3": "large",
    "large-v3-turbo": "large",
    "distil-large-v3": "large",
    "parakeet-tdt-0.6b-v2": "medium",
    "parakeet-tdt-0.6b-v3": "medium",
    "moonshine-tiny-en": "tiny",
    **{name: "medium" for name in catalog.models() if name.startswith("apple-speech-")},
}
OWN = Timeouts(load_s=1.0, transcribe_base_s=2.0, transcribe_per_audio_s=3.0, first_call_factor=4.0)
WEIGHTS = Path("/somewhere/weights.bin")
CUSTOM = f"someone/tiny-large-v3@{'c0ffee' + '0' * 34}"


def test_the_classes_of_this_test_are_those_of_every_model() -> None:
    assert {name: model.size_class for name, model in catalog.models().items()} == CLASSES
    assert list(catalog.size_classes()) == list(TIMES)


@pytest.mark.parametrize("model", CLASSES)
def test_every_model_has_the_time_outs_of_its_class_in_every_backend(model: str) -> None:
    load, base, per_audio = TIMES[CLASSES[model]]
    asked = [each for each in built_in_backends() if each.network_for(model) == model]
    assert asked
    for backend in asked:
        limits = backend.model_info(model).timeouts
        assert limits.load_s == load
        assert limits.transcribe_s(10.0) == base + 10 * per_audio
        assert limits.first_call_s(10.0) == 3 * (base + 10 * per_audio)


def test_a_name_says_nothing_of_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = replace(catalog.model("small"), name="tiny-large-v3")
    monkeypatch.setattr(catalog, "models", lambda: {odd.name: odd})
    info = Backend(name="b", weights_format="ctranslate2").model_info("tiny-large-v3")
    assert (info.size_class, info.timeouts) == ("small", catalog.size_classes()["small"])


@pytest.mark.parametrize(
    ("size_bytes", "size_class"),
    [
        (None, "large"),
        (1, "tiny"),
        (100_000_000, "tiny"),
        (100_000_001, "base"),
        (200_000_001, "small"),
        (600_000_001, "medium"),
        (1_500_000_000, "medium"),
        (1_500_000_001, "large"),
    ],
)
def test_outside_the_catalog_bytes_give_the_class(size_bytes: int | None, size_class: str) -> None:
    assert catalog.size_class_for(size_bytes) == size_class


@pytest.mark.parametrize("model", catalog.whisper_models())
def test_nothing_gets_less_time_by_its_size_than_by_its_row(model: str) -> None:
    source = catalog.find_hosted(model, catalog.SOURCE_FORMAT)
    assert source is not None
    by_size = catalog.size_class_for(sum(file.size or 0 for file in source.files))
    order = list(catalog.size_classes())
    assert order.index(by_size) >= order.index(CLASSES[model])


def test_outside_the_catalog_it_is_the_repository_at_its_commit() -> None:
    info = Backend(name="b", weights_format="ggml").model_info(CUSTOM)
    assert f"{info.repository}@{info.revision}" == CUSTOM
    assert (info.size_class, info.license) == ("large", "not known")
    assert [each.kind for each in info.locations] == [LocationKind.HUB, LocationKind.CONVERTED]
    assert all(each.for_run for each in info.locations)


@pytest.mark.parametrize(
    ("backend", "model", "expected"),
    [
        ("faster-whisper", "small", [("hub", True)]),
        ("faster-whisper", "tiny.en", [("fetched", True), ("package", True), ("hub", True)]),
        ("whisper.cpp", "small", [("converted", True), ("library", False)]),
        ("mlx-whisper", "small", [("converted", True), ("hub", False)]),
        ("insanely-fast-whisper", "small", [("converted", True), ("hub", False)]),
        ("lightning-whisper-mlx", "large-v3-turbo", [("converted", True)]),
        ("parakeet-mlx", "tiny", [("hub", True)]),
        ("moonshine-voice", "tiny", [("fetched", True), ("package", True), ("library", False)]),
    ],
)
def test_every_location_is_named_that_of_a_run_first(
    backend: str, model: str, expected: list[tuple[str, bool]]
) -> None:
    (found,) = [each for each in built_in_backends() if each.name == backend]
    info = found.model_info(model)
    assert [(str(each.kind), each.for_run) for each in info.locations] == expected
    assert all(each.where and each.holds for each in info.locations)


def test_a_library_s_folder_is_called_after_the_backend_whose_it_is() -> None:
    wheres = {
        backend.name: backend.model_info("tiny").locations[1].where
        for backend in built_in_backends()
        if backend.weights_format == "openai"
    }
    assert wheres == {
        "openai-whisper": "openai-whisper's folder",
        "whisper-mps": "whisper-mps's folder",
    }


def test_the_precision_of_the_weights_is_the_backend_s_own_word_before_the_run_s() -> None:
    follows = Backend(name="b", weights_format="ggml", weights_follow_precision=True)
    casts = Backend(name="b", weights_format="ctranslate2")
    assert follows.model_info("tiny").precision == "float16"
    assert follows.model_info("tiny", "q8_0").precision == "q8_0"
    assert replace(follows, precision="q5_0").model_info("tiny", "q8_0").precision == "q5_0"
    assert casts.model_info("tiny", "int8").precision == "float16"


def test_what_a_description_states_goes_before_the_catalog() -> None:
    stated = BackendModel(
        WEIGHTS,
        precision="int8",
        license="Apache-2.0",
        size_class="base",
        timeouts=OWN,
        repository="me/mine",
        revision="main",
        files=(PublishedFile("weights.bin", 7, "ab" * 32),),
    )
    info = Backend(name="b", weights_format="ggml", models={"large-v3": stated}).model_info(
        "large-v3"
    )
    assert (info.model, info.weights_format, info.path) == ("large-v3", "ggml", WEIGHTS)
    assert (info.precision, info.license, info.size_class) == ("int8", "Apache-2.0", "base")
    assert (info.timeouts, info.files) == (OWN, stated.files)
    assert (info.repository, info.revision) == ("me/mine", "main")
    assert (info.hosted, info.source, info.unavailable) == (None, None, "")
    assert [(each.kind, each.holds) for each in info.locations] == [
        (LocationKind.DESCRIPTION, "weights.bin")
    ]


def test_weights_of_one_s_own_take_nothing_from_the_official_ones() -> None:
    info = Backend(
        name="b", weights_format="ggml", models={"tiny": BackendModel(WEIGHTS)}
    ).model_info("tiny")
    assert (info.license, info.repository, info.revision, info.files) == (
        "not stated",
        "",
        None,
        (),
    )
    assert info.timeouts == catalog.size_classes()["tiny"]


def test_a_description_may_state_a_size_class_alone() -> None:
    backend = Backend(
        name="b",
        weights_format="ggml",
        models={"tiny": BackendModel(size_class="large", precision="q5_0")},
    )
    info, plain = backend.model_info("tiny"), catalog.model_info("tiny", "ggml", "q5_0")
    assert (info.size_class, info.timeouts) == ("large", catalog.size_classes()["large"])
    assert (info.precision, info.files, info.source) == ("q5_0", plain.files, plain.source)
    assert backend.model_info("base").size_class == "base"


def test_a_cell_s_deadlines_are_those_of_its_model_info() -> None:
    backend = Backend(name="b", models={"tiny": BackendModel(WEIGHTS, timeouts=OWN)})
    (cell,) = plan.cells(["tiny"], [backend], "speech")
    found = deadlines(cell.info.timeouts, 10.0, None)
    assert (found.load_s, found.warmup_s, found.transcribe_s) == (1.0, 128.0, 32.0)
    found = deadlines(cell.info.timeouts, 10.0, 5.0)
    assert (found.load_s, found.warmup_s, found.transcribe_s) == (5.0, 5.0, 5.0)
