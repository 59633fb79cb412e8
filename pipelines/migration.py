"""Bringing both databases to the schema of this version: the state, and Dagster's own storage.

Here: the command `migrate`. Runs bring the state up to date by themselves; a deployment does it once, before the
new version starts. Forward only. Not here: the migrations (`resources/migrations`, and Dagster's).
"""

from collections.abc import Callable

from dagster import DagsterInstance
from rich.console import Console

from pipelines.accounts import Accounts, AccountsError, load_accounts
from pipelines.answer import Answer
from pipelines.dagster_home import prepare_dagster_home
from pipelines.settings import Settings
from resources.state import State

__all__ = ["migrate"]


def _migrate_accounts(accounts: Accounts, note: Callable[[str], None]) -> None:
    """The state of each account. An entry that cannot be used fails its own runs and keeps none from starting."""
    for name in accounts.names:
        try:
            note(f"{name}: {_up_to_date(accounts.settings(name))[0] or 'new'}")
        except AccountsError as error:
            note(f"{name}: left alone: {error}")


def _up_to_date(settings: Settings) -> tuple[str | None, str, str]:
    """Migrate a state; from where to where, and how it is shown."""
    state = State(settings.state_url, schema=settings.state_schema)
    try:
        before, newest = state.revisions()
        state.migrate()
    finally:
        state.close()
    return before, newest, repr(state)


def migrate(settings: Settings, *, note: Callable[[str], None]) -> Answer:
    """Migrate both, and say from where to where. Raises: StateError."""
    prepare_dagster_home(settings)
    if settings.stripe_accounts_file is not None:
        _migrate_accounts(load_accounts(settings), note)
    before, newest, shown = _up_to_date(settings)
    with DagsterInstance.get() as instance:
        instance.upgrade(print_fn=lambda line: note(str(line)))
        storage = type(instance.event_log_storage).__name__
    kept = "PostgreSQL" if settings.dagster_postgres_url is not None else "SQLite"

    def page(console: Console) -> None:
        came = "was up to date" if before == newest else f"{before or 'new'} → {newest}"
        console.print(f"State {came}: {shown}", highlight=False, soft_wrap=True)
        console.print(f"Dagster's storage is up to date: {kept}", highlight=False, soft_wrap=True)

    payload = {"state": {"before": before, "after": newest}, "dagster": {"kept_in": kept, "storage": storage}}
    return Answer(payload=payload, page=page)
