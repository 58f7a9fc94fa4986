"""Exports as the programs read them that people have: pandas, polars, DuckDB and pyarrow."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.runs import FakeCell, run_of_set
from mac_whisper_speedtest.export import files, tables
from mac_whisper_speedtest.export.tables import CELLS, UTTERANCES, Table
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.columns import Kind, Value

SAMPLES = tables.samples(text=True)
TABLES = pytest.mark.parametrize("table", [CELLS, SAMPLES, UTTERANCES], ids=lambda each: each.name)
MANY = 10_000
TEXTS = [
    "plain",
    "",
    "a, b",
    'say "so", he said',
    '"begins with a quote',
    "two\nlines",
    "tab\there",
    "back\\slash \\t \\n",
    "café – 日本語 🎤 \u200f\u05e2\u05d1\u05e8",
    "=1+1",
    "-5",
    "NA",
    "null",
    "1.10",
    " led by a space",
    "a; b",
]
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def runs() -> list[s.Run]:
    """Two runs, of which one has 10⁴ samples with every kind of text."""
    first = run_of_set(
        FakeCell("1.10"),
        FakeCell("NA", ending="failed", message='=no, "really"\nno'),
        tags=["a, b", "c"],
    ).run
    cell = first.cells[0]
    one = cell.samples[1]
    samples = [
        msgspec.structs.replace(
            one,
            index=index,
            text=TEXTS[index % len(TEXTS)],
            seconds=math.pi * index / 7,
            tokens=None if index % 3 else index,
            disturbed="" if index % 5 else TEXTS[index % len(TEXTS)],
        )
        for index in range(MANY)
    ]
    many = msgspec.structs.replace(cell, samples=samples)
    first = msgspec.structs.replace(first, cells=[many, first.cells[1]])
    return [first, run_of_set(FakeCell("faster-whisper"), number=2, machine={"gpus": None}).run]


def plain(value: Any) -> Any:
    """A reader's value as plain Python; what it calls missing is ``None``."""
    if type(value) in {str, int, bool}:
        return value
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return plain(value.tolist())
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    return value


def same(found: Iterable[Mapping[str, Any]], expected: Rows) -> None:
    rows = [{name: plain(value) for name, value in row.items()} for row in found]
    assert len(rows) == len(expected)
    if rows != expected:  # pytest would take minutes to say how two long lists differ
        row, wanted = next(pair for pair in zip(rows, expected, strict=True) if pair[0] != pair[1])
        assert row == wanted


def typed(table: Table, runs: list[s.Run]) -> Rows:
    """What a format with types holds."""
    moments = [column.name for column in table.columns if column.kind is Kind.TIME]
    found: Rows = list(table.records(runs))
    for row in found:
        for name in moments:
            row[name] = datetime.fromisoformat(row[name]).replace(tzinfo=None)
    return found


def flat(table: Table, runs: list[s.Run], text: Callable[[str], str] = str) -> Rows:
    """What CSV and TSV hold: no empty texts, no lists, apostrophes before formulas."""

    def field(value: Value) -> Any:
        if isinstance(value, list):
            value = "; ".join(value)
        if not isinstance(value, str):
            return value
        return text(f"'{value}" if value.startswith(("=", "-")) else value) or None

    return [{name: field(value) for name, value in row.items()} for row in table.records(runs)]


def kinds(table: Table, **names: str) -> dict[str, str]:
    """Column → what a reader calls its type; everything that is not named is text."""
    return {column.name: names.get(column.kind.name, names["STRING"]) for column in table.columns}


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def write(path: Path, table: Table, runs: list[s.Run]) -> str:
    files.save(runs, path, files.format_of(path), table)
    return str(path)


PANDAS = {"STRING": "string", "INTEGER": "Int64", "NUMBER": "float64", "BOOLEAN": "boolean"}
DUCKDB = {"STRING": "VARCHAR", "INTEGER": "BIGINT", "NUMBER": "DOUBLE", "BOOLEAN": "BOOLEAN"}


def polars_types(table: Table, pl: Any, **more: Any) -> dict[str, Any]:
    names = {"STRING": pl.String, "INTEGER": pl.Int64, "NUMBER": pl.Float64, "BOOLEAN": pl.Boolean}
    return kinds(table, **{**names, **more})


@TABLES
def test_pyarrow_reads_types_nulls_and_texts_of_parquet(
    table: Table, runs: list[s.Run], tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    found = parquet.read_table(write(tmp_path / "x.parquet", table, runs))
    same(found.to_pylist(), typed(table, runs))
    types = {
        Kind.STRING: "string",
        Kind.INTEGER: "int64",
        Kind.NUMBER: "double",
        Kind.BOOLEAN: "bool",
        Kind.STRINGS: "list<element: string>",
        Kind.TIME: "timestamp[ms]",
    }
    for column in table.columns:
        assert str(found.schema.field(column.name).type) == types[column.kind]


def test_parquet_says_what_its_columns_mean(runs: list[s.Run], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = write(tmp_path / "x.parquet", CELLS, runs)
    schema = parquet.read_schema(path)
    assert schema.metadata[b"schema_version"] == str(s.SCHEMA_VERSION).encode()
    assert schema.metadata[b"table"] == b"cells"
    columns = {each["name"]: each for each in json.loads(schema.metadata[b"columns"])}
    for column in CELLS.columns:
        described = columns[column.name]
        assert (described["type"], described["unit"], described["meaning"]) == (
            column.kind,
            column.unit,
            column.meaning,
        )
        field = schema.field(column.name).metadata
        assert field[b"meaning"].decode() == column.meaning
    group = parquet.ParquetFile(path).metadata.row_group(0)
    assert {group.column(at).compression for at in range(group.num_columns)} == {"ZSTD"}


def test_the_same_runs_give_the_same_bytes(runs: list[s.Run], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    for path in (first, second):
        write(path, SAMPLES, runs)
    assert first.read_bytes() == second.read_bytes()


def test_a_table_of_no_rows_is_still_a_typed_parquet_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    found = parquet.read_table(write(tmp_path / "x.parquet", CELLS, []))
    assert (found.num_rows, found.num_columns) == (0, len(CELLS.columns))


def test_a_time_that_nobody_can_read_is_null_in_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    run = run_of_set(FakeCell("a")).run
    manifest = msgspec.structs.replace(run.manifest, started_at="yesterday")
    path = write(tmp_path / "x.parquet", CELLS, [msgspec.structs.replace(run, manifest=manifest)])
    assert parquet.read_table(path).column("started_at").to_pylist() == [None]


@TABLES
def test_pandas_reads_parquet(table: Table, runs: list[s.Run], tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    found = pd.read_parquet(
        write(tmp_path / "x.parquet", table, runs), dtype_backend="numpy_nullable"
    )
    same(found.astype(object).to_dict("records"), typed(table, runs))


@TABLES
def test_polars_reads_parquet(table: Table, runs: list[s.Run], tmp_path: Path) -> None:
    pl = pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    found = pl.read_parquet(write(tmp_path / "x.parquet", table, runs))
    same(found.to_dicts(), typed(table, runs))


@TABLES
def test_duckdb_reads_parquet(table: Table, runs: list[s.Run], tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    path = write(tmp_path / "x.parquet", table, runs)
    same(_duckdb_rows(duckdb, "SELECT * FROM read_parquet(?)", [path]), typed(table, runs))


@TABLES
def test_pandas_reads_csv(table: Table, runs: list[s.Run], tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    found = pd.read_csv(
        write(tmp_path / "x.csv", table, runs),
        dtype=kinds(table, **PANDAS),
        keep_default_na=False,
        na_values={column.name: [""] for column in table.columns},
    )
    same(found.astype(object).to_dict("records"), flat(table, runs))


@TABLES
def test_polars_reads_csv(table: Table, runs: list[s.Run], tmp_path: Path) -> None:
    pl = pytest.importorskip("polars")
    found = pl.read_csv(
        write(tmp_path / "x.csv", table, runs), schema_overrides=polars_types(table, pl)
    )
    same(found.to_dicts(), flat(table, runs))


@TABLES
def test_duckdb_reads_csv(table: Table, runs: list[s.Run], tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = write(tmp_path / "x.csv", table, runs)
    query = f"SELECT * FROM read_csv(?, types = {kinds(table, **DUCKDB)}, header = true)"
    same(_duckdb_rows(duckdb, query, [path]), flat(table, runs))


@TABLES
def test_pandas_reads_tsv(table: Table, runs: list[s.Run], tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    found = pd.read_csv(
        write(tmp_path / "x.tsv", table, runs),
        sep="\t",
        quoting=csv.QUOTE_NONE,
        dtype=kinds(table, **PANDAS),
        keep_default_na=False,
        na_values={column.name: [""] for column in table.columns},
    )
    same(found.astype(object).to_dict("records"), flat(table, runs, escaped))


@TABLES
def test_polars_reads_tsv(table: Table, runs: list[s.Run], tmp_path: Path) -> None:
    pl = pytest.importorskip("polars")
    found = pl.read_csv(
        write(tmp_path / "x.tsv", table, runs),
        separator="\t",
        quote_char=None,
        schema_overrides=polars_types(table, pl),
    )
    same(found.to_dicts(), flat(table, runs, escaped))


@TABLES
def test_duckdb_reads_tsv(table: Table, runs: list[s.Run], tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = write(tmp_path / "x.tsv", table, runs)
    query = (
        f"SELECT * FROM read_csv(?, types = {kinds(table, **DUCKDB)}, header = true,"
        " delim = '\t', quote = '', escape = '')"
    )
    same(_duckdb_rows(duckdb, query, [path]), flat(table, runs, escaped))


@TABLES
def test_pandas_reads_jsonl(table: Table, runs: list[s.Run], tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    found = pd.read_json(
        write(tmp_path / "x.jsonl", table, runs),
        lines=True,
        dtype=False,
        precise_float=True,
    )
    same(found.astype(object).to_dict("records"), list(table.records(runs)))


@TABLES
def test_polars_reads_jsonl(table: Table, runs: list[s.Run], tmp_path: Path) -> None:
    pl = pytest.importorskip("polars")
    found = pl.read_ndjson(
        write(tmp_path / "x.jsonl", table, runs),
        schema=polars_types(table, pl, STRINGS=pl.List(pl.String)),
    )
    same(found.to_dicts(), list(table.records(runs)))


@TABLES
def test_duckdb_reads_jsonl(table: Table, runs: list[s.Run], tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = write(tmp_path / "x.jsonl", table, runs)
    columns = kinds(table, **DUCKDB, STRINGS="VARCHAR[]")
    query = f"SELECT * FROM read_json(?, columns = {columns}, format = 'newline_delimited')"
    same(_duckdb_rows(duckdb, query, [path]), list(table.records(runs)))


def _duckdb_rows(duckdb: Any, query: str, parameters: list[str]) -> Rows:
    with duckdb.connect() as connection:
        answer = connection.execute(query, parameters)
        names = [each[0] for each in answer.description]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
