"""The exports that have been loaded: one row per delivery, so that none is loaded twice.

Here: the table and the queries on it. Which deliveries there are, and when one is complete, is decided in
`ingest.exports`.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from resources.state.engine import State
from resources.state.metadata import UtcTime, metadata

__all__ = ["export_deliveries", "loaded_deliveries", "remember_delivery"]

export_deliveries = sa.Table(
    "export_deliveries",
    metadata,
    sa.Column("delivery", sa.Text, primary_key=True),
    sa.Column("account", sa.String(80), nullable=False),  # `exports:live`: files do not name their account
    sa.Column("livemode", sa.Boolean, nullable=False),
    sa.Column("version_at", UtcTime, nullable=False),  # what the files show is true for this time
    sa.Column("loaded_at", UtcTime, nullable=False),
)


def loaded_deliveries(state: State) -> frozenset[str]:
    """Ids of all deliveries that have been loaded."""
    with state.read() as connection:
        return frozenset(connection.scalars(sa.select(export_deliveries.c.delivery)))


def remember_delivery(
    state: State, delivery: str, *, livemode: bool, version_at: datetime, loaded_at: datetime
) -> None:
    """Record that a delivery is in the tables; a second time moves `loaded_at` only."""
    values = {
        "account": f"exports:{'live' if livemode else 'test'}",
        "livemode": livemode,
        "version_at": version_at,
        "loaded_at": loaded_at,
    }
    insert = (sqlite if state.is_sqlite else postgresql).insert(export_deliveries)
    statement = insert.values(delivery=delivery, **values).on_conflict_do_update(
        index_elements=["delivery"], set_={"loaded_at": loaded_at}
    )
    with state.begin() as connection:
        connection.execute(statement)
