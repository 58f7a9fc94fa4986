"""The data files are well-formed, and a broken row is named with what is wrong with it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from catalog.documents import Document, problems
from mac_whisper_speedtest.catalog.hosted import document

Breaking = Callable[[Document, Document], object]

MODELS = document("models.toml")
WEIGHTS = document("weights.toml")


def of(doc: Document, name: str, weights_format: str = "", precision: str = "float16") -> Document:
    """A model's row, or the row of its weights in a format."""
    if not weights_format:
        return next(row for row in doc["model"] if row["name"] == name)
    needed = (name, weights_format, precision)
    key = ("model", "format", "precision")
    return next(row for row in doc["weights"] if tuple(row[each] for each in key) == needed)


def test_the_catalog_has_no_problem() -> None:
    assert problems(MODELS, WEIGHTS) == []


BROKEN: dict[str, tuple[Breaking, str]] = {
    "an old schema": (
        lambda m, _w: m.update(schema_version=0),
        "models.toml: Invalid enum value 0 - at `$.schema_version`",
    ),
    "an unknown schema": (
        lambda _m, w: w.pop("schema_version"),
        "weights.toml: Object missing required field `schema_version`",
    ),
    "a size class too few": (
        lambda m, _w: m["size_class"].pop("small"),
        "models.toml: the size classes are ['tiny', 'base', 'medium', 'large']",
    ),
    "less time for more": (
        lambda m, _w: m["size_class"]["large"].update(load_s=1.0),
        "size class large: load_s is less than that of medium",
    ),
    "no size": (
        lambda m, _w: m["size_class"]["base"].pop("up_to_bytes"),
        "size class base: every class but the largest has up_to_bytes",
    ),
    "a size for the largest": (
        lambda m, _w: m["size_class"]["large"].update(up_to_bytes=2_000_000_000),
        "size class large: every class but the largest has up_to_bytes",
    ),
    "less room for more": (
        lambda m, _w: m["size_class"]["small"].update(up_to_bytes=1),
        "size class small: up_to_bytes is less than that of base",
    ),
    "no time": (
        lambda m, _w: m["size_class"]["base"].update(load_s=0.0),
        "size class base: Expected `float` > 0.0 - at `$.load_s`",
    ),
    "a forgotten time": (
        lambda m, _w: m["size_class"]["base"].pop("load_s"),
        "size class base: Object missing required field `load_s`",
    ),
    "a factor below one": (
        lambda m, _w: m.update(first_call_factor=0.5),
        "models.toml: Expected `float` >= 1.0 - at `$.first_call_factor`",
    ),
    "a number for a name": (
        lambda m, _w: of(m, "tiny").update(license=7),
        "model tiny: Expected `str`, got `int` - at `$.license`",
    ),
    "a text for files": (
        lambda _m, w: of(w, "tiny", "ggml").update(files="ggml-tiny.bin"),
        "weights tiny ggml float16: Expected `array`, got `str` - at `$.files`",
    ),
    "a text for a mirror": (
        lambda _m, w: of(w, "tiny.en", "ctranslate2").update(mirror="pypi"),
        "weights tiny.en ctranslate2 float16: Expected `object | null`, got `str` - at `$.mirror`",
    ),
    "a text for a row": (
        lambda _m, w: w["weights"].insert(0, "tiny"),
        "weights 1: Expected `object`, got `str`",
    ),
    "a name in capitals": (
        lambda m, _w: of(m, "tiny").update(name="Tiny"),
        "model Tiny: Expected `str` matching Name - at `$.name`",
    ),
    "an ambiguous name": (
        lambda m, _w: of(m, "large-v3").update(name="large"),
        "model large: the name means different networks to different backends",
    ),
    "a name twice": (
        lambda m, _w: m["model"].append(dict(of(m, "tiny"))),
        "model tiny: there is another row of that name",
    ),
    "an unknown key at the top": (
        lambda m, _w: of(m, "tiny").update(licence="MIT"),
        "model tiny: Object contains unknown field `licence`",
    ),
    "no family": (
        lambda m, _w: of(m, "tiny").pop("family"),
        "model tiny: Object missing required field `family`",
    ),
    "an unknown size class": (
        lambda m, _w: of(m, "tiny").update(size_class="huge"),
        "model tiny: Invalid enum value 'huge' - at `$.size_class`",
    ),
    "unknown languages": (
        lambda m, _w: of(m, "tiny").update(languages="German"),
        "model tiny: Expected `str` matching Language - at `$.languages`",
    ),
    "an English name for all languages": (
        lambda m, _w: of(m, "tiny.en").update(languages="many"),
        "model tiny.en: a name that ends in en is of a network for English only",
    ),
    "a repository without owner": (
        lambda _m, w: of(w, "tiny", "ctranslate2").update(repository="faster-whisper-tiny"),
        "weights tiny ctranslate2 float16: Expected `str` matching Repository - at `$.repository`",
    ),
    "no license": (
        lambda m, _w: of(m, "tiny").pop("license"),
        "model tiny: Object missing required field `license`",
    ),
    "a branch as revision": (
        lambda _m, w: of(w, "tiny.en", "ctranslate2").update(revision="main"),
        "weights tiny.en ctranslate2 float16: Expected `str` matching Sha1 - at `$.revision`",
    ),
    "a short identity": (
        lambda m, _w: of(m, "tiny.en").update(network_sha256="9cf8"),
        "model tiny.en: Expected `str` matching Sha256 - at `$.network_sha256`",
    ),
    "a mirror of unknown files": (
        lambda _m, w: of(w, "tiny.en", "ctranslate2").pop("files"),
        "weights tiny.en ctranslate2 float16: has a mirror, but not the SHA-256 of every file",
    ),
    "a network without rows": (
        lambda _m, w: w.update(
            weights=[r for r in w["weights"] if r["model"] != "moonshine-tiny-en"]
        ),
        "model moonshine-tiny-en: weights.toml has no row for it in any format",
    ),
    "a Whisper format without row": (
        lambda _m, w: w["weights"].remove(of(w, "base", "openai")),
        "model base: weights.toml has no row for the format openai",
    ),
    "a row in a format without rows": (
        lambda _m, w: w["format"]["openai"].update(unlisted="for no reason"),
        "weights tiny.en openai float16: the format says why no row has it",
    ),
    "a format that nothing loads": (
        lambda _m, w: w["format"]["mlx"].update(loaded_by=[]),
        "format mlx: Expected `array` of length >= 1 - at `$.loaded_by`",
    ),
    "a format with half its keys": (
        lambda _m, w: w["format"]["mlx"].pop("converts_to"),
        "format mlx: Object missing required field `converts_to`",
    ),
    "a conversion to an unknown precision": (
        lambda _m, w: w["format"]["mlx"].update(converts_to=["float17"]),
        "format mlx: Invalid enum value 'float17' - at `$.converts_to[0]`",
    ),
    "a format in capitals": (
        lambda _m, w: w["format"].update(MLX=w["format"].pop("mlx")),
        "weights.toml: Expected `str` matching Name - at `key` in `$.format`",
    ),
    "a row twice": (
        lambda _m, w: w["weights"].append(dict(of(w, "tiny", "ggml"))),
        "weights tiny ggml float16: there is another row for it",
    ),
    "a row of an unknown network": (
        lambda _m, w: of(w, "tiny", "ggml").update(model="tiny.de"),
        "weights tiny.de ggml float16: models.toml has no model 'tiny.de'",
    ),
    "a row in an unknown format": (
        lambda _m, w: of(w, "tiny", "ggml").update(format="gguf"),
        "weights tiny gguf float16: there is no format 'gguf'",
    ),
    "a row in another family's format": (
        lambda _m, w: of(w, "tiny", "ggml").update(format="fluidaudio"),
        "weights tiny fluidaudio float16: the format holds networks of the family 'parakeet'",
    ),
    "an unknown precision": (
        lambda _m, w: of(w, "tiny", "ggml").update(precision="f16"),
        "weights tiny ggml f16: Invalid enum value 'f16' - at `$.precision`",
    ),
    "an unknown key": (
        lambda _m, w: of(w, "tiny", "ggml").update(sha256="0"),
        "weights tiny ggml float16: Object contains unknown field `sha256`",
    ),
    "no reason": (
        lambda _m, w: of(w, "distil-large-v3", "openai").update(unavailable=" "),
        (
            "weights distil-large-v3 openai float16: "
            "Expected `str` matching Words - at `$.unavailable`"
        ),
    ),
    "unavailable and yet there": (
        lambda _m, w: of(w, "tiny", "ggml").update(unavailable="gone"),
        "weights tiny ggml float16: Object contains unknown field `repository`",
    ),
    "neither repository nor address": (
        lambda _m, w: of(w, "tiny", "ggml").pop("repository"),
        "weights tiny ggml float16: Object missing required field `repository`",
    ),
    "an address without encryption": (
        lambda _m, w: of(w, "moonshine-tiny-en", "moonshine-onnx", "int8").update(
            url="http://download.moonshine.ai/tiny-en"
        ),
        (
            "weights moonshine-tiny-en moonshine-onnx int8: "
            "Expected `str` matching Address - at `$.url`"
        ),
    ),
    "a revision of an address": (
        lambda _m, w: of(w, "tiny", "openai").update(revision="0" * 40),
        "weights tiny openai float16: Object contains unknown field `revision`",
    ),
    "a folder outside": (
        lambda _m, w: of(w, "tiny", "whisperkit").update(folder="../tiny"),
        "weights tiny whisperkit float16: Expected `str` matching Inside - at `$.folder`",
    ),
    "a revision in capitals": (
        lambda _m, w: of(w, "tiny", "ggml").update(revision="A" * 40),
        "weights tiny ggml float16: Expected `str` matching Sha1 - at `$.revision`",
    ),
    "a row without license": (
        lambda _m, w: of(w, "tiny", "ggml").update(license=""),
        "weights tiny ggml float16: Expected `str` matching Words - at `$.license`",
    ),
    "a note that says nothing": (
        lambda _m, w: of(w, "tiny", "ggml").update(note=""),
        "weights tiny ggml float16: Expected `str` matching Words - at `$.note`",
    ),
    "an absolute file name": (
        lambda _m, w: of(w, "tiny", "ggml")["files"][0].update(name="/etc/passwd"),
        "weights tiny ggml float16: Expected `str` matching Inside - at `$.files[0].name`",
    ),
    "a file twice": (
        lambda _m, w: of(w, "tiny", "ggml")["files"].append(of(w, "tiny", "ggml")["files"][0]),
        "weights tiny ggml float16: ggml-tiny.bin is there twice",
    ),
    "a file's unknown key": (
        lambda _m, w: of(w, "tiny", "ggml")["files"][0].update(md5="0"),
        "weights tiny ggml float16: Object contains unknown field `md5` - at `$.files[0]`",
    ),
    "an empty file": (
        lambda _m, w: of(w, "tiny", "ggml")["files"][0].update(size=0),
        "weights tiny ggml float16: Expected `int` >= 1 - at `$.files[0].size`",
    ),
    "a size that is a truth": (
        lambda _m, w: of(w, "tiny", "ggml")["files"][0].update(size=True),
        "weights tiny ggml float16: Expected `int | null`, got `bool` - at `$.files[0].size`",
    ),
    "a short SHA-256": (
        lambda _m, w: of(w, "tiny", "ggml")["files"][0].update(sha256="be07e048"),
        "weights tiny ggml float16: Expected `str` matching Sha256 - at `$.files[0].sha256`",
    ),
    "a short SHA-1": (
        lambda _m, w: of(w, "tiny", "ggml")["files"][0].update(sha1="bd577a11"),
        "weights tiny ggml float16: Expected `str` matching Sha1 - at `$.files[0].sha1`",
    ),
    "a file without size": (
        lambda _m, w: of(w, "tiny", "ggml")["files"][0].pop("size"),
        "weights tiny ggml float16: ggml-tiny.bin lacks its size or SHA-256, and has no rule",
    ),
    "nothing at all": (
        lambda _m, w: of(w, "tiny", "ggml").pop("files"),
        "weights tiny ggml float16: has neither files nor a rule to determine them",
    ),
    "an unknown rule": (
        lambda _m, w: of(w, "tiny", "whisperkit").update(unpinned="ask"),
        "weights tiny whisperkit float16: Invalid enum value 'ask' - at `$.unpinned`",
    ),
    "the hub's rule without a hub": (
        lambda _m, w: of(w, "tiny", "openai").update(unpinned="hub-lfs"),
        "weights tiny openai float16: the rule hub-lfs needs a repository on the hub",
    ),
    "an address with another hash": (
        lambda _m, w: of(w, "tiny", "openai")["files"][0].update(sha256="0" * 64),
        "weights tiny openai float16: the url does not end in the hash and name of tiny.pt",
    ),
    "an address of no file": (
        lambda _m, w: of(w, "tiny", "openai").pop("files"),
        "weights tiny openai float16: the rule url-path needs the file's name",
    ),
    "half a mirror": (
        lambda _m, w: of(w, "tiny.en", "ctranslate2")["mirror"]["wheels"][0].pop("version"),
        (
            "weights tiny.en ctranslate2 float16: "
            "Object missing required field `version` - at `$.mirror.wheels[0]`"
        ),
    ),
    "a mirror outside its package": (
        lambda _m, w: of(w, "tiny.en", "ctranslate2")["mirror"]["wheels"][0].update(folder="/usr"),
        (
            "weights tiny.en ctranslate2 float16: "
            "Expected `str` matching Inside - at `$.mirror.wheels[0].folder`"
        ),
    ),
    "one file for two networks": (
        lambda _m, w: of(w, "base", "ggml")["files"][0].update(name="ggml-tiny.bin"),
        "weights base ggml float16: ggerganov/whisper.cpp/ggml-tiny.bin is already the model",
    ),
    "one folder for two networks": (
        lambda _m, w: of(w, "large-v3", "whisperkit").update(
            folder="openai_whisper-large-v3-v20240930"
        ),
        "weights large-v3-turbo whisperkit float16: argmaxinc/whisperkit-coreml/openai_whisper-",
    ),
    "one hash for two networks": (
        lambda _m, w: of(w, "base", "ggml")["files"][0].update(
            sha256=of(w, "tiny", "ggml")["files"][0]["sha256"]
        ),
        "weights base ggml float16: ggml-base.bin has the hash of a file of tiny",
    ),
    "an English file for all languages": (
        lambda _m, w: of(w, "tiny", "mlx").update(repository="mlx-community/whisper-tiny.en-mlx"),
        "weights tiny mlx float16: one of the name and mlx-community/whisper-tiny.en-mlx is Engl",
    ),
    "files of what a system keeps": (
        lambda _m, w: of(w, "apple-speech-en-us", "apple-speech", "unstated").update(files=[]),
        "weights apple-speech-en-us apple-speech unstated: Object contains unknown field `files`",
    ),
    "a system that keeps what is published": (
        lambda _m, w: w["format"]["fluidaudio"].update(kept_by="macOS"),
        "weights parakeet-tdt-0.6b-v2 fluidaudio palettized6: the rule system is for formats that",
    ),
    "a repository of what a system keeps": (
        lambda _m, w: of(w, "apple-speech-en-us", "apple-speech", "unstated").update(
            unpinned="hub-lfs", repository="apple/speech"
        ),
        "weights apple-speech-en-us apple-speech unstated: the rule system is for formats that a",
    ),
    "two wheels and no file that is split": (
        lambda _m, w: of(w, "base", "ctranslate2")["mirror"].pop("split"),
        (
            "weights base ctranslate2 float16: "
            "a mirror has several wheels if one file is split, and else one - at `$.mirror`"
        ),
    ),
    "a split file that is not published": (
        lambda _m, w: of(w, "base", "ctranslate2")["mirror"].update(split="model.pt"),
        "weights base ctranslate2 float16: model.pt of the mirror is none of the files",
    ),
    "half a mirror's wheel": (
        lambda _m, w: of(w, "tiny.en", "ctranslate2")["mirror"]["wheels"][0].pop("size"),
        (
            "weights tiny.en ctranslate2 float16: "
            "Object missing required field `size` - at `$.mirror.wheels[0]`"
        ),
    ),
    "a mirror's wheel with a short hash": (
        lambda _m, w: of(w, "tiny.en", "ctranslate2")["mirror"]["wheels"][0].update(sha256="589c"),
        (
            "weights tiny.en ctranslate2 float16: "
            "Expected `str` matching Sha256 - at `$.mirror.wheels[0].sha256`"
        ),
    ),
}


@pytest.mark.parametrize(("breaking", "complaint"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_row_is_named_with_what_is_wrong(breaking: Breaking, complaint: str) -> None:
    models, weights = copy.deepcopy(MODELS), copy.deepcopy(WEIGHTS)
    breaking(models, weights)
    found = problems(models, weights)
    assert any(each.startswith(complaint) for each in found), found
