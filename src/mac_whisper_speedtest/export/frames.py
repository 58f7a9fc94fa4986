"""Runs as data frames: a table's columns with their types, also where a column is empty."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.export.columns import Kind
from mac_whisper_speedtest.export.tables import Table
from mac_whisper_speedtest.results import schema as s

if TYPE_CHECKING:
    import pandas
    import polars

_PANDAS = {
    Kind.STRING: "string",
    Kind.INTEGER: "Int64",
    Kind.NUMBER: "float64",
    Kind.BOOLEAN: "boolean",
    Kind.STRINGS: "object",
}
"""Types that can be null; a number that is not known is NaN."""


def to_pandas(table: Table, runs: Iterable[s.Run]) -> pandas.DataFrame:
    """A table as a pandas data frame; times are time stamps in UTC.

    Raises:
        UsageError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise _missing("pandas") from error
    names = [column.name for column in table.columns]
    found = pandas.DataFrame.from_records(list(table.values(runs)), columns=names)
    for column in table.columns:
        if column.kind is Kind.TIME:
            found[column.name] = pandas.to_datetime(found[column.name], utc=True, format="ISO8601")
        else:
            found[column.name] = found[column.name].astype(_PANDAS[column.kind])
    return found


def to_polars(table: Table, runs: Iterable[s.Run]) -> polars.DataFrame:
    """A table as a polars data frame; times are time stamps in UTC.

    Raises:
        UsageError: polars is not installed.
    """
    try:
        import polars
    except ImportError as error:
        raise _missing("polars") from error
    kinds = {
        Kind.STRING: polars.String(),
        Kind.INTEGER: polars.Int64(),
        Kind.NUMBER: polars.Float64(),
        Kind.BOOLEAN: polars.Boolean(),
        Kind.STRINGS: polars.List(polars.String()),
        Kind.TIME: polars.String(),
    }
    found = polars.DataFrame(
        list(table.values(runs)),
        schema={column.name: kinds[column.kind] for column in table.columns},
        orient="row",
    )
    times = [column.name for column in table.columns if column.kind is Kind.TIME]
    return found.with_columns(
        polars.col(name).str.to_datetime(time_zone="UTC", strict=False) for name in times
    )


def _missing(name: str) -> UsageError:
    return UsageError(f"{name} is not installed", hint=f"run: pip install {name}")
