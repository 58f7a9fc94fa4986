"""Every backend's format of every network is known: published, or with the reason why not."""

from __future__ import annotations

import re

import pytest

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.catalog import HostedWeights
from mac_whisper_speedtest.convert import conversion
from mac_whisper_speedtest.convert.codec import FormatCodec

ROWS = catalog.hosted_weights()
AVAILABLE = [row for row in ROWS if not row.unavailable]
WHISPER_FORMATS = [
    weights_format.name
    for weights_format in catalog.weights_formats().values()
    if weights_format.family == "whisper"
]
every_network = pytest.mark.parametrize("network", catalog.whisper_models())
every_format = pytest.mark.parametrize("weights_format", WHISPER_FORMATS)


def row(network: str, weights_format: str, precision: str = "") -> HostedWeights:
    found = catalog.find_hosted(network, weights_format, precision)
    assert found is not None
    return found


@every_format
@every_network
def test_every_whisper_network_is_known_in_every_whisper_form(
    network: str, weights_format: str
) -> None:
    info = catalog.model_info(network, weights_format, "float16")
    assert bool(info.hosted) != bool(info.unavailable)
    # A conversion that published files complete cannot be had without them.
    assert info.obtainable or (
        not info.hosted and catalog.weights_formats()[weights_format].extends
    )
    assert info.license


def test_a_form_for_every_kind_of_backend() -> None:
    assert set(catalog.weights_formats()) == {
        *("ctranslate2", "ggml", "ggml-coreml", "mlx", "mlx-npz", "huggingface", "openai"),
        "sherpa-onnx",
        "whisperkit",
        *("parakeet-mlx", "fluidaudio", "moonshine-onnx", "apple-speech"),
    }


@pytest.mark.parametrize(
    "weights_format", conversion.FORMATS.values(), ids=lambda weights_format: weights_format.name
)
def test_the_precisions_of_a_conversion_are_those_that_the_converter_writes(
    weights_format: FormatCodec,
) -> None:
    if weights_format.writer is not None and weights_format.name != catalog.SOURCE_FORMAT:
        assert set(weights_format.writer.precisions) <= set(
            catalog.weights_formats()[weights_format.name].converts_to
        )


def test_the_source_of_conversions_is_pinned_for_every_network() -> None:
    for name in catalog.whisper_models():
        source = row(name, catalog.SOURCE_FORMAT)
        assert source.complete
        assert source.revision
        # A name is found in its own repository.
        assert set(name.split("-")) <= set(re.split(r"[-/]", source.repository))
        assert {"model.bin", "config.json", "tokenizer.json"} <= {f.name for f in source.files}


def test_every_address_of_openai_carries_the_hash_of_its_file() -> None:
    rows = [each for each in AVAILABLE if each.format == "openai"]
    assert len(rows) == 11
    for each in rows:
        (file,) = each.files
        assert re.fullmatch(r"https://openaipublic\.azureedge\.net/\S+", each.url)
        assert each.url.split("/")[-2:] == [file.sha256, file.name]
        assert each.unpinned == "url-path"


def test_no_file_s_hash_is_missing_without_a_rule_to_learn_it() -> None:
    for each in AVAILABLE:
        assert each.complete or each.unpinned in catalog.UNPINNED_RULES


def test_the_quantized_ggml_files_are_published_at_their_own_precision() -> None:
    assert row("tiny", "ggml", "q5_1").files[0].name == "ggml-tiny-q5_1.bin"
    assert row("medium", "ggml", "q5_0").files[0].name == "ggml-medium-q5_0.bin"
    info = catalog.model_info("large-v3", "ggml", "q5_0")
    assert info.hosted is not None
    assert info.hosted.precision == "q5_0"
    assert info.hosted.main_file is not None
    assert info.hosted.main_file.size == 1081140203
    assert info.obtained.startswith("converted from Systran/faster-whisper-large-v3@")


def test_a_network_that_nobody_publishes_in_a_form_is_converted_all_the_same() -> None:
    info = catalog.model_info("large-v3-turbo", "mlx-npz", "float16")
    assert "knows no turbo" in info.unavailable
    assert info.hosted is None
    assert info.obtained.startswith("converted from mobiuslabsgmbh/faster-whisper-large-v3-turbo@")


def test_a_precision_that_is_neither_published_nor_converted_is_not_obtainable() -> None:
    info = catalog.model_info("tiny", "mlx", "q4_0")
    assert not info.obtainable
    assert (info.hosted, info.files, info.main_file) == (None, (), None)
    assert info.unavailable == "tiny is neither published as mlx q4_0 nor converted to it"


def test_the_core_ml_encoders_complete_the_conversion_that_they_are_named_after() -> None:
    formats = catalog.weights_formats()
    assert formats["ggml-coreml"].converts_to == formats[formats["ggml-coreml"].extends].converts_to
    for name in catalog.whisper_models():
        info = catalog.model_info(name, "ggml-coreml", "q5_1")
        if name.startswith("distil"):
            assert "publish no Core ML encoder" in info.unavailable
            assert not info.obtainable
            continue
        assert info.completed_by is not None
        assert info.completed_by.complete
        (file,) = info.completed_by.files
        assert file.name == f"ggml-{name}-encoder.mlmodelc.zip"
        assert info.completed_by.revision == row(name, "ggml").revision
        assert info.obtained == f"converted from {row(name, 'ctranslate2').place}, beside " + (
            info.completed_by.place
        )


def test_a_conversion_is_identified_by_all_that_it_is_made_of() -> None:
    plain = catalog.model_info("tiny", "ggml", "float16")
    extended = catalog.model_info("tiny", "ggml-coreml", "float16")
    assert plain.source is not None
    assert plain.source.main_file is not None
    assert plain.source_key == plain.source.main_file.sha256
    assert extended.source_key not in {"", plain.source_key}
    assert catalog.model_info("tiny", "whisperkit", "float16").source_key == ""


def test_openai_s_turbo_has_another_name_in_core_ml() -> None:
    info = catalog.model_info("large-v3-turbo", "whisperkit", "float16")
    assert info.hosted is not None
    assert info.hosted.folder == "openai_whisper-large-v3-v20240930"
    assert info.obtained == catalog.AS_PUBLISHED
    assert info.hosted.place.endswith(f"@{info.revision}/{info.hosted.folder}")
    medium = catalog.model_info("medium", "whisperkit", "float16")
    assert medium.hosted is not None
    assert "absent from the SDK" in medium.hosted.note


@pytest.mark.parametrize(
    ("network", "weights_format", "terms", "size"),
    [
        ("parakeet-tdt-0.6b-v2", "parakeet-mlx", "CC-BY-4.0", 2471559904),
        ("parakeet-tdt-0.6b-v3", "parakeet-mlx", "CC-BY-4.0", 2508288736),
        ("parakeet-tdt-0.6b-v3", "fluidaudio", "CC-BY-4.0", 445187200),
        ("moonshine-tiny-en", "moonshine-onnx", "MIT", 30412256),
    ],
)
def test_the_other_families_are_taken_as_published(
    network: str, weights_format: str, terms: str, size: int | None
) -> None:
    info = catalog.model_info(network, weights_format, "float16")
    assert info.obtained == catalog.AS_PUBLISHED
    assert info.hosted == catalog.find_hosted(network, weights_format)
    assert (info.license, info.main_file and info.main_file.size) == (terms, size)


def test_a_form_that_nobody_knows_says_so() -> None:
    info = catalog.model_info("tiny", "tflite", "float16")
    assert info.unavailable == "the catalog does not know the format 'tflite'"
    assert catalog.find_hosted("tiny", "tflite") is None


def test_a_backend_that_names_no_form_gets_no_weights_of_the_catalog() -> None:
    info = catalog.model_info("tiny.en", "", "float16")
    assert info.unavailable == "it loads no weights of the catalog"
    assert (info.obtainable, info.locations, info.files) == (False, (), ())
