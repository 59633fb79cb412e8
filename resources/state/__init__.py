"""The state: small transactional tables (cursors, inbox, exports, intents, budget, audit) in SQLite or PostgreSQL.

`engine` opens the database and runs migrations; every other module declares the tables of one concern on the
shared `metadata`. What the rows mean is decided by the rooms that use them. No transaction may stay open across
a network call.
"""

from resources.state import exports as exports
from resources.state import extraction as extraction
from resources.state import inbox as inbox
from resources.state import ledger as ledger
from resources.state.engine import State, StateError, open_state
from resources.state.metadata import metadata

__all__ = ["State", "StateError", "metadata", "open_state"]
