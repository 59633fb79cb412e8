"""The one SQLAlchemy `MetaData` of the state database, and the type of its times.

Here: what every table of the state shares. Not here: the tables, declared one concern a module beside this file.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

__all__ = ["UtcTime", "metadata"]

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC time, kept as whole microseconds since 1970: the same on both databases, and comparable."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        """Microseconds of an aware time; a naive time is refused."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time without zone: {value!r}")
        since = value.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        """The aware time."""
        if value is None:
            return None
        seconds, micros = divmod(int(value), 1_000_000)
        return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=micros)
