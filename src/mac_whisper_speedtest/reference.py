"""The reference pages, generated from the declarations at fields.

``python -m mac_whisper_speedtest.reference docs/reference`` writes them.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from mac_whisper_speedtest import files, request
from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.bundle.fields import POLICIES, policies, structs_in
from mac_whisper_speedtest.compare import document
from mac_whisper_speedtest.declared import Doc, FieldPolicy, declarations
from mac_whisper_speedtest.environments import lock_targets
from mac_whisper_speedtest.export import tables
from mac_whisper_speedtest.leaderboard import site
from mac_whisper_speedtest.option import Group, Option
from mac_whisper_speedtest.request import RecordedRequest
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.columns import FlatColumn
from mac_whisper_speedtest.store import rows

_NOTE = (
    "This page is made by `python -m mac_whisper_speedtest.reference docs/reference` from what is "
    "declared at the fields: change it there."
)
_NEVER = "–"
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}


def results() -> str:
    """Fields of ``run.json``, of the manifest and of the journal's lines."""
    events = list(get_args(s.Event))
    parts = [each for each in _documented(s.Run, s.Event) if each not in events]
    return _page(
        "Reference: fields of results",
        "What the files of a run hold; [results.md](../results.md) explains it. JSON is UTF-8, and "
        "has no NaN and no infinity. Times are in seconds and sizes in bytes. Rounds, attempts and "
        "samples count from 0. *Null when* is “–” for a field that is never null. `object` means "
        "an object whose values all have the type that is named.",
        "## `run.json` and `manifest.json`",
        "`run.json` is a `Run`, `manifest.json` is a `Manifest`.",
        *map(_struct, parts),
        "## `journal.jsonl`",
        "One JSON object per line. `event` says which of these it is. Every line also has `at_s`, "
        "a number: seconds since this process of the tool opened the journal, when the line was "
        "written. It belongs to the line: `run.json` does not have it.",
        *map(_struct, events),
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
    return _page(
        "Reference: columns of exports",
        "[results.md](../results.md#export) explains formats and tables. *In `run.json`* says "
        "where the value stands there. Columns that are bold are in tables that are made to be "
        "looked at.",
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
        "Columns of `leaderboard.csv`; [leaderboard.md](../leaderboard.md) explains them.",
        _table(
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
    return _page(
        "Reference: tables of the index",
        "`index.sqlite` has a row per run and per cell; [store.md](../store.md) explains it. "
        "Columns may change; the database's `user_version` then does. For files that are kept, "
        "use `speedtest export`.",
        "## `runs`",
        _table(heads, _stored(rows.RunRow)),
        "## `cells`",
        "A figure that is not known is NULL.",
        _table(heads, [*_stored(rows.CellRow), *figures]),
        "## `files`",
        "What each run was read from.",
        _table(heads, _stored(rows.FilesRow)),
    )


def bundles() -> str:
    """What a bundle does with every field."""
    structs = [[f"`{kind.__name__}`", "; ".join(_by_policy(POLICIES[kind]))] for kind in POLICIES]
    computed = [each for each in dict.fromkeys(structs_in(s.Run)) if issubclass(each, s.Computed)]
    return _page(
        "Reference: what goes into a bundle",
        "[trust.md](../explanation/trust.md) explains it. "
        "What is not in this list goes into no bundle.",
        _table(("how", "meaning"), ([_word(how), how.value] for how in FieldPolicy)),
        _table(("struct", "fields"), structs),
        "## Computed",
        "In no bundle; the reader of a bundle recomputes these.",
        _table(
            ("struct", "fields"),
            ([f"`{each.__name__}`", _names(policies(each))] for each in computed),
        ),
    )


def comparison() -> str:
    """Documents of ``compare --json`` and ``history --json``."""
    return _page(
        "Reference: comparisons as JSON",
        "What `speedtest compare --json` and `speedtest history --json` print: a `Compared` or a "
        "`History`. [compare.md](../compare.md) explains it.",
        *map(_struct, _documented(document.Compared, document.History)),
    )


def run_options() -> str:
    """Options of ``speedtest run`` and keywords of ``run()`` in Python."""
    recorded = declarations(RecordedRequest, Option)
    sections = [
        part
        for group in Group
        for part in (
            f"## {group}",
            _table(
                ("option", "in Python", "value", "unit", "default", "recorded", "meaning"),
                (_option_row(name, name in recorded) for name in _names_of(group)),
            ),
        )
    ]
    return _page(
        "Reference: options of a run",
        "What `speedtest run` and, in Python, `run(models, ...)` take. In Python shares are "
        "fractions, times are seconds and sizes are bytes. *Recorded* options are in the "
        "manifest, under `request` and by the name they have in Python; "
        "[results.md](../results.md) explains it.",
        *sections,
    )


def locks() -> str:
    """Where the shipped locks can be installed."""
    targets = [str(each) for each in lock_targets.TARGETS]
    record = dict(sorted(lock_targets.read_record().items()))
    served = (
        [f"`{lock}`", *(_pythons(found.get(each, {})) for each in targets)]
        for lock, found in record.items()
    )
    return _page(
        "Reference: where locks can be installed",
        "The Pythons from 3.11 to 3.14 for which the package index has a wheel of every package of "
        "a lock, by platform and oldest macOS or glibc. `python benchmarks/locks.py` asks for them "
        "and holds them against what the recipes say; a workflow does so every week. A "
        "distribution that is built from its source is left out of the question.",
        _table(("lock", *targets), served),
        "What has no wheel:",
        _table(("lock", "package", "where"), _without_wheels(record)),
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "run-options.md": run_options,
    "results.md": results,
    "columns.md": columns,
    "index.md": index,
    "bundles.md": bundles,
    "compare.md": comparison,
    "locks.md": locks,
}
"""File name → the function that returns its text."""


def write(folder: Path) -> None:
    """Write every page. Raises StorageError."""
    for name, make in PAGES.items():
        files.write_bytes(folder / name, make().encode())


def _page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", _NOTE, *parts)) + "\n"


def _table(heads: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *body]
    return "\n".join("| " + " | ".join(each) + " |" for each in lines)


def _pythons(lacking: lock_targets.Lacking) -> str:
    """The Pythons for which nothing is lacking."""
    left = [each for each in lock_targets.PYTHONS if each not in lacking]
    return ("all" if not lacking else ", ".join(left)) or "none"


def _without_wheels(record: lock_targets.Record) -> Iterator[list[str]]:
    """The lock, the package that has no wheel, and the targets where it has none."""
    for lock, found in record.items():
        where: dict[str, list[str]] = {}
        for target, lacking in found.items():
            for package in dict.fromkeys(lacking.values()):
                pythons = [each for each, other in lacking.items() if other == package]
                every = len(pythons) == len(lock_targets.PYTHONS)
                where.setdefault(package, []).append(
                    target if every else f"{target} ({', '.join(pythons)})"
                )
        for package, targets in sorted(where.items()):
            yield [f"`{lock}`", f"`{package}`", "; ".join(targets)]


def _documented(*roots: Any) -> list[type[s.Struct]]:
    """The structs below some types that say what their fields mean, each once."""
    found = dict.fromkeys(each for root in roots for each in structs_in(root))
    return [each for each in found if declarations(each, Doc)]


def _struct(kind: type[s.Struct]) -> str:
    tag = kind.__struct_config__.tag
    title = f"### `{tag}` (`{kind.__name__}`)" if tag else f"### `{kind.__name__}`"
    about = inspect.cleandoc(kind.__doc__ or "").replace("``", "`")
    (parent,) = kind.__bases__
    inherited = parent.__struct_fields__ if issubclass(parent, s.Struct) else ()
    body = [
        [f"`{name}`", _type(hint), doc.unit, doc.meaning, doc.null or _NEVER]
        for name, hint, doc in _declared(kind)
        if name not in inherited
    ]
    parts = [title, about]
    if inherited:
        link = f"[`{parent.__name__}`](#{parent.__name__.lower()})"
        parts.append(f"Every field of {link}, and {'these:' if body else 'no other.'}")
    if body:
        parts.append(_table(("name", "type", "unit", "meaning", "null when"), body))
    return "\n\n".join(parts)


def _declared(kind: type) -> Iterator[tuple[str, Any, Doc]]:
    """Name, type and meaning of each field."""
    docs = declarations(kind, Doc)
    for name, hint in get_type_hints(kind).items():
        yield name, hint, docs.get(name, Doc(""))


def _type(hint: Any) -> str:
    """A field's type in JSON's words; without null, which has a column of its own."""
    if hint == SettingValue:
        return "any"
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {types.UnionType, Union}:
        return " or ".join(_type(each) for each in arguments if each is not types.NoneType)
    if origin in {list, tuple}:
        pair = origin is tuple and arguments[-1] is not ...
        return f"{'pair' if pair else 'list'} of {_many(_type(arguments[0]))}"
    if origin is dict:
        inner = _type(arguments[1])
        return "object" if inner == "any" else f"object of {_many(inner)}"
    return _PLAIN.get(hint) or f"[`{hint.__name__}`](#{hint.__name__.lower()})"


def _many(words: str) -> str:
    """Several of a type: "strings", "lists of strings", "numbers or strings"."""
    return re.sub(r"\b(string|integer|number|boolean|list|pair)\b", r"\1s", words)


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
    return _table(("column", "type", "unit", "meaning", "in `run.json`"), body)


def _stored(kind: type) -> Iterator[list[str]]:
    """The columns of a table that are fields of its rows."""
    for name, hint, doc in _declared(kind):
        kinds = get_args(hint) or (hint,)
        type_ = next((word for each, word in _PLAIN.items() if each in kinds), "")
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


def _names_of(group: Group) -> list[str]:
    """The options of a group, the rare ones last."""
    names = [name for name, option in request.OPTIONS.items() if option.group is group]
    return sorted(names, key=lambda name: request.OPTIONS[name].rare)


def _option_row(name: str, recorded: bool) -> list[str]:
    option, default = request.OPTIONS[name], request.default_of(name)
    flags = [option.short, option.flag, option.off]
    given = "–" if default in (None, (), False) else f"`{option.kind.text(default)}`"
    given = "on" if default is True else given
    meaning = request.DOCS[name]
    also = f" Environment variable: `{option.envvar}`." if option.envvar else ""
    return [
        ", ".join(f"`{flag}`" for flag in flags if flag),
        f"`{name}`",
        option.kind.metavar.replace("|", "\\|") or "–",
        meaning.unit,
        "required" if option.required else option.otherwise or given,
        "yes" if recorded else "–",
        request.help_of(name) + also,
    ]


if __name__ == "__main__":
    write(Path(sys.argv[1]))
