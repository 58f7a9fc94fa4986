"""Models: names, sizes, where each is published, time-outs; weights formats."""

from __future__ import annotations

from collections.abc import Iterator

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.catalog import HostedWeights, Model, Timeouts, WeightsFormat
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.reference.markdown import NOTHING, code, codes, link, page, table


def models() -> str:
    """Models of the catalog: names, sizes, publishers, time-outs."""
    formats = catalog.weights_formats()
    families = dict.fromkeys(each.family for each in catalog.models().values())
    return page(
        "Reference: models",
        "A model has one name, for every backend. "
        f"{' and '.join(map(code, sorted(catalog.AMBIGUOUS)))} are refused: they mean different "
        "networks to different backends. `org/name@REVISION`, with the 40 hexadecimal digits of a "
        "commit, names a Whisper network outside the catalog. `speedtest models list` shows what "
        "is on this machine, `speedtest backends info NAME --model MODEL` all that is known for "
        "one backend.",
        table(
            ("model", "family", "languages", "parameters", "size class", "official", "license"),
            map(_model, catalog.models().values()),
        ),
        "*Official*: size of the weights that `speedtest models pull MODEL` fetches.",
        "## Time-outs",
        "Of a size class, in seconds. A worker that takes longer is killed, and its cell is "
        "`timeout`. `--timeout` replaces them. A model outside the catalog gets the class of the "
        "size of all its files; `large` until that is known.",
        table(
            ("size class", "files up to", "load", "transcription", "first transcription"),
            map(_timeouts, *zip(*catalog.size_classes().items(), strict=True)),
        ),
        "## Sizes by format",
        *(part for family in families for part in _sizes(family)),
        "## Formats",
        "*Converted to*: precisions in which this tool writes the format from the official "
        "weights. A run converts automatically, once. `ggml-coreml` is `ggml` beside a published "
        "encoder, which alone is counted above.",
        table(
            ("format", "loaded by", "converted to", "published", "also looked for"),
            map(_format, formats.values()),
        ),
        "## Publishers",
        "Every file is fetched at this commit, and compared with its size and hash. Where no "
        "revision is given, the first pull takes the newest commit and later ones keep it. "
        "*Pinned*: all files by the catalog, or the rest by a "
        f"{link('rule', 'How the rest is pinned')}.",
        *(part for kind in formats.values() for part in _publishers(kind)),
        "## How the rest is pinned",
        table(("rule", "meaning"), ([code(k), v] for k, v in catalog.UNPINNED_RULES.items())),
    )


def _model(model: Model) -> list[str]:
    official = catalog.official_weights(model.name)
    count = model.parameters_m
    return [
        code(model.name),
        model.family,
        model.languages,
        f"{count} M" if count else "not published",
        model.size_class,
        _size(official.known_bytes),
        model.license,
    ]


def _size(count: int | None) -> str:
    return NOTHING if count is None else megabytes(count)


def _timeouts(name: str, limits: Timeouts) -> list[str]:
    most = catalog.size_class_bytes(name)
    first = limits.first_call_factor
    return [
        name,
        "any" if most is None else megabytes(most),
        f"{limits.load_s:g}",
        _linear(limits.transcribe_base_s, limits.transcribe_per_audio_s),
        _linear(limits.transcribe_base_s * first, limits.transcribe_per_audio_s * first),
    ]


def _linear(base: float, per_second: float) -> str:
    return f"{base:g} + {per_second:g} × seconds of audio"


def _sizes(family: str) -> Iterator[str]:
    """Model × format, of the formats that hold files of a family."""
    kinds = [each for each in catalog.weights_formats().values() if each.family == family]
    kinds = [each for each in kinds if not each.kept_by and not each.unlisted]
    names = [each.name for each in catalog.models().values() if each.family == family]
    for start in range(0, len(kinds), 5):
        part = kinds[start : start + 5]
        yield table(
            ("model", *(each.name for each in part)),
            ([code(name), *(_published_size(name, kind) for kind in part)] for name in names),
        )


def _published_size(model: str, kind: WeightsFormat) -> str:
    row = catalog.find_hosted(model, kind.name)
    if row is None or row.unavailable:
        return NOTHING
    return f"{_size(row.known_bytes)}, {row.precision}" if row.known_bytes else "not known"


def _format(kind: WeightsFormat) -> list[str]:
    places = ["Hugging Face cache"] if kind.library_uses_hub else []
    if kind.library_folder:
        places.append(kind.library_folder.format(backend="the library"))
    published = kind.unlisted or (f"no files: {kind.kept_by} keeps them" if kind.kept_by else "")
    return [
        code(kind.name),
        codes(kind.loaded_by),
        codes(kind.converts_to),
        published or link("yes", kind.name),
        "; ".join(places) or NOTHING,
    ]


def _publishers(kind: WeightsFormat) -> Iterator[str]:
    """A row per repository and commit; then what is not published, and notes."""
    rows = [each for each in catalog.hosted_weights() if each.format == kind.name]
    if not rows or kind.kept_by:
        return
    places: dict[tuple[str, str, str], list[HostedWeights]] = {}
    for row in rows:
        if not row.unavailable:
            place = (row.repository or row.url, row.revision or "", row.unpinned)
            places.setdefault(place, []).append(row)
    yield f"### {kind.name}"
    yield table(
        ("from", "revision", "networks", "pinned"),
        (
            [code(place), code(revision), _networks(found), code(rule) if rule else "all"]
            for (place, revision, rule), found in places.items()
        ),
    )
    notes = [f"- {_precise(each)}: {each.note}" for each in rows if each.note]
    absent = [f"- {_precise(each)}: {each.unavailable}" for each in rows if each.unavailable]
    yield "\n".join([*notes, *absent])


def _networks(rows: list[HostedWeights]) -> str:
    """Each network with its precisions, its folder and the repository of its tokenizer."""
    found: dict[str, list[str]] = {}
    for row in rows:
        folder = f" in `{row.folder}`" if row.folder else ""
        beside = f", tokenizer of `{row.tokenizer.repository}`" if row.tokenizer else ""
        found.setdefault(f"`{row.model}`{folder}{beside}", []).append(row.precision)
    return "; ".join(f"{name} ({', '.join(each)})" for name, each in found.items())


def _precise(row: HostedWeights) -> str:
    return f"`{row.model}` {row.precision}"
