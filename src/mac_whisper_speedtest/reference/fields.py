"""Fields of results, columns of exports, tables of the index, bundles, and comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import get_args, get_origin

from mac_whisper_speedtest.bundle.fields import POLICIES, policies, structs_in
from mac_whisper_speedtest.compare import document, fail_on
from mac_whisper_speedtest.declared import FieldPolicy
from mac_whisper_speedtest.export import files, tables
from mac_whisper_speedtest.leaderboard import site
from mac_whisper_speedtest.reference.markdown import docstring, page, table
from mac_whisper_speedtest.reference.structs import (
    PLAIN,
    declared_fields,
    documented,
    struct_section,
)
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.columns import FlatColumn
from mac_whisper_speedtest.store import rows


def results() -> str:
    """Fields of ``run.json``, of the manifest and of the journal's lines."""
    events = list(get_args(s.Event))
    parts = [each for each in documented(s.Run, s.Event) if each not in events]
    return page(
        "Reference: fields of results",
        "What the files of a run hold; their words are in [words.md](words.md), terms such as "
        "cell and round in the [glossary](../glossary.md). "
        f"`schema_version` is {s.SCHEMA_VERSION}: within a version no field is removed, renamed, "
        "or given another meaning, unit or type; fields may be added. Times are in seconds and "
        "sizes in bytes. Rounds, attempts and samples count from 0. *Null when* is “–” for a field "
        "that is never null.",
        "## `run.json` and `manifest.json`",
        "`run.json` is a `Run`, `manifest.json` is a `Manifest`.",
        *map(struct_section, parts),
        "## `journal.jsonl`",
        "One JSON object per line. `event` says which of these it is. Every line also has `at_s`, "
        "a number: seconds since this process of the tool opened the journal, when the line was "
        "written. It belongs to the line: `run.json` does not have it.",
        *map(struct_section, events),
    )


def columns() -> str:
    """Columns of exports."""
    samples = tables.samples(text=True)
    shared = ", ".join(f"`{column.name}`" for column in tables.SHARED)
    names = {column.name for column in tables.SHARED}
    own = [
        [each for each in table.columns if each.name not in names]
        for table in (samples, tables.UTTERANCES)
    ]
    return page(
        "Reference: columns of exports",
        "Of `speedtest export`. *In `run.json`* says where the value stands there. Bold columns "
        "are in tables for people. The metadata of a Parquet file has them, too.",
        "## Formats",
        table(
            ("format", "what it is"),
            ([f"`{each}`", docstring(make)] for each, make in files.FORMATS.items()),
        ),
        "What is not known is null in `json`, `jsonl` and `parquet`, and empty elsewhere. A list "
        "is joined by `; `. In `csv` and `tsv` a text that a spreadsheet would take for a formula "
        "gets an apostrophe in front.",
        "## Cells",
        _columns(tables.CELLS.columns),
        "## Samples",
        f"First these columns of cells, with the same meaning: {shared}. Then, and `text` only "
        "with `--text`:",
        _columns(own[0]),
        "## Utterances",
        "First the same columns of cells, then:",
        _columns(own[1]),
        "## Leaderboard",
        "Columns of `leaderboard.csv`; "
        "[trust.md](../explanation/trust.md#how-rows-are-ranked) explains them.",
        table(
            ("column", "type", "unit", "meaning"),
            ([f"`{each.name}`", each.kind, each.unit, each.meaning] for each in site.COLUMNS),
        ),
    )


def index() -> str:
    """Tables of the index of runs."""
    kinds = {"INTEGER": "integer", "REAL": "real", "TEXT": "text"}
    figures = [
        [f"`{each.name}`", kinds[rows.sql_type(each)], each.unit, each.meaning]
        for each in rows.FIGURES
    ]
    heads = ("column", "type", "unit", "meaning")
    return page(
        "Reference: tables of the index",
        "`index.sqlite` has a row per run and per cell; "
        "[architecture.md](../explanation/architecture.md#runs-and-their-index) explains it. "
        "Columns may change; the database's `user_version` then does. For files that are kept, "
        "use `speedtest export`.",
        "## `runs`",
        table(heads, _stored(rows.RunRow)),
        "## `cells`",
        "A figure that is not known is NULL.",
        table(heads, [*_stored(rows.CellRow), *figures]),
        "## `files`",
        "What each run was read from.",
        table(heads, _stored(rows.FilesRow)),
    )


def bundles() -> str:
    """What a bundle does with every field."""
    structs = [[f"`{kind.__name__}`", "; ".join(_by_policy(POLICIES[kind]))] for kind in POLICIES]
    computed = [each for each in dict.fromkeys(structs_in(s.Run)) if issubclass(each, s.Computed)]
    return page(
        "Reference: what goes into a bundle",
        "[trust.md](../explanation/trust.md) explains it. "
        "What is not in this list goes into no bundle.",
        table(("how", "meaning"), ([_word(how), how.value] for how in FieldPolicy)),
        table(("struct", "fields"), structs),
        "## Computed",
        "In no bundle; the reader of a bundle recomputes these.",
        table(
            ("struct", "fields"),
            ([f"`{each.__name__}`", _names(policies(each))] for each in computed),
        ),
    )


def comparison() -> str:
    """Documents of ``compare --json`` and ``history --json``."""
    return page(
        "Reference: comparisons as JSON",
        "What `speedtest compare --format json` and `speedtest history --json` print: a `Compared` "
        "or a `History`. Ratios are new ÷ base. "
        "[method.md](../explanation/method.md#comparing-two-runs) explains both.",
        *map(struct_section, documented(document.Compared, document.History)),
        "### `--fail-on`",
        "What `speedtest compare --fail-on` may name; it exits with 11 if it finds a cell. Each of "
        "the first four also finds a cell that was `ok` in the base, and failed in the new run or "
        "is not in it. What a kind cannot decide is listed as *not decided* and fails nothing.",
        table(("kind", "a cell"), ([f"`{each}`", what] for each, what in fail_on.KINDS.items())),
    )


def _columns(found: Iterable[FlatColumn]) -> str:
    body = (
        [
            f"**`{each.name}`**" if each.brief else f"`{each.name}`",
            each.kind,
            each.unit,
            each.meaning,
            f"`{each.in_run}`" if each.in_run else "computed",
        ]
        for each in found
    )
    return table(("column", "type", "unit", "meaning", "in `run.json`"), body)


def _stored(kind: type) -> Iterator[list[str]]:
    """The columns of a table that are fields of its rows."""
    for name, hint, doc in declared_fields(kind):
        kinds = get_args(hint) or (hint,)
        type_ = next((word for each, word in PLAIN.items() if each in kinds), "")
        stored = {"string": "text", "boolean": "0 or 1", "number": "real"}.get(type_, type_)
        if get_origin(hint) is tuple:
            stored = "JSON list"
        yield [f"`{rows.column_of(name)}`", stored or "JSON", doc.unit, doc.meaning]


def _by_policy(fields: Mapping[str, FieldPolicy]) -> Iterator[str]:
    for how in dict.fromkeys(fields.values()):
        yield f"{_word(how)}: {_names(name for name, each in fields.items() if each is how)}"


def _names(fields: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in fields)


def _word(how: FieldPolicy) -> str:
    return how.name.lower().replace("_", " ")
