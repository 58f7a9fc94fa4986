"""Tables as Parquet, by pyarrow: typed columns and zstd.

The file's metadata has ``schema_version``, ``table`` and ``columns`` (a JSON list of name, type,
unit and meaning); each Arrow field also has its own ``unit`` and ``meaning``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import util
from typing import IO, Any

from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.export.tables import Table
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.columns import FlatColumn, Kind, Value

_ROWS_AT_ONCE = 1 << 16
"""Rows of a row group, which is in memory at once."""


def check_installed() -> None:
    """Make sure that Parquet can be written, before anything is measured.

    Raises:
        UsageError: pyarrow, of the extra ``parquet``, is not installed.
    """
    if util.find_spec("pyarrow") is None:
        raise UsageError(
            "cannot write Parquet: pyarrow is not installed",
            hint="pip install 'mac-whisper-speedtest[parquet]', or choose another format",
        )


def write_parquet(table: Table, runs: Iterable[s.Run], stream: IO[bytes]) -> None:
    """With the types of the columns, compressed by zstd; needs pyarrow, else a UsageError."""
    check_installed()
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema(table)
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        values = table.values(runs)
        while rows := list(itertools.islice(values, _ROWS_AT_ONCE)):
            columns = zip(*rows, strict=True)
            arrays = [
                pa.array(_typed(column, found), type=field.type)
                for column, found, field in zip(table.columns, columns, schema, strict=True)
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def _schema(table: Table) -> Any:
    """The Arrow schema of a table, with the meanings of its columns."""
    import pyarrow as pa

    types = {
        Kind.STRING: pa.string(),
        Kind.INTEGER: pa.int64(),
        Kind.NUMBER: pa.float64(),
        Kind.BOOLEAN: pa.bool_(),
        Kind.STRINGS: pa.list_(pa.string()),
        Kind.TIME: pa.timestamp("ms"),
    }
    fields = [
        pa.field(each.name, types[each.kind], metadata={"unit": each.unit, "meaning": each.meaning})
        for each in table.columns
    ]
    columns = [
        {"name": each.name, "type": each.kind, "unit": each.unit, "meaning": each.meaning}
        for each in table.columns
    ]
    described = {
        "schema_version": str(s.SCHEMA_VERSION),
        "table": table.name,
        "columns": json.dumps(columns, ensure_ascii=False),
    }
    return pa.schema(fields, metadata=described)


def _typed(column: FlatColumn, values: Sequence[Value]) -> Sequence[object]:
    """The values as Arrow accepts them; a malformed time is null."""
    return [_moment(each) for each in values] if column.kind is Kind.TIME else values


def _moment(text: Value) -> datetime | None:
    """A time stamp in UTC without a zone, so that no reader converts it."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
