"""The command line `stripe-mavera`: each command asks one thing of the graph that Dagster's UI shows.

Here: arguments, the hand-over, and how errors become one line and an exit code (`pipelines.answer`). Results go
to stdout, everything else to stderr. Heavy modules are imported by the command that needs them, so that help is
instant. Not here: any rule.
"""

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError
from rich.console import Console

from pipelines.answer import Answer, Exit, complain, give, note, say_json
from pipelines.logs import log_to_stderr
from pipelines.settings import SANDBOX_MAVERA_PORT, SANDBOX_STRIPE_PORT, Settings

__all__ = ["app", "main"]

app = typer.Typer(
    name="stripe-mavera",
    help="Stripe revenue to Mavera personas, messages, case studies and copy. Without keys it runs on a sandbox.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
held_app = typer.Typer(help="What waits for a person, and the decisions about it.", invoke_without_command=True)
app.add_typer(held_app, name="held")
webhooks_app = typer.Typer(invoke_without_command=True)
app.add_typer(webhooks_app, name="webhooks")

_err = Console(stderr=True)
HeldKey = Annotated[str, typer.Argument(help="Key of the row, as `held` lists it.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, everything else on stderr.")]
AccountName = Annotated[
    str | None, typer.Option("--account", help="Which account of STRIPE_ACCOUNTS_FILE this is about.")
]


def main() -> None:
    """Entry point: an error that a person can mend becomes one line on stderr and exit code 1.

    With `--json` it is on stdout too, as the one object that was asked for.
    """
    from resources.redaction import install_redaction, redact

    install_redaction()
    try:
        app()
    except Exception as error:
        if not isinstance(error, _mendable()):
            raise
        line = redact(_one_line(error))
        complain(line)
        if "--json" in sys.argv:
            say_json({"success": False, "errors": [line]})
        sys.exit(Exit.FAILED)


def _mendable() -> tuple[type[Exception], ...]:
    """Errors that a person can mend; where they come from is imported when there is one."""
    from sqlalchemy.exc import SQLAlchemyError

    from resources.mavera_wire import MaveraError

    return ValidationError, OSError, RuntimeError, ValueError, SQLAlchemyError, MaveraError


def _one_line(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"]).upper()
        said = str(first["msg"]).removeprefix("Value error, ")
        return f"{name}: {said}" if name else said
    if (cause := getattr(error, "orig", None)) is not None:
        # A database error carries its whole statement; the cause is what a person can mend.
        return f"a database cannot be used: {cause} (is its disk full, or its server away?)"
    return " ".join(str(error).split()) or type(error).__name__


def _common_settings() -> Settings:
    """Checked settings, of all accounts where there are several, with logs written as they say."""
    settings = Settings()
    log_to_stderr(settings)
    return settings


def _settings(account: str | None) -> Settings:
    """Checked settings of one account. Raises: AccountsError when there are several and none is named."""
    settings = _common_settings()
    if account is None and settings.stripe_accounts_file is None:
        return settings
    from pipelines.accounts import load_accounts

    return load_accounts(settings).settings(account)


@contextmanager
def _session(settings: Settings) -> Iterator[Settings]:
    """The settings, with a sandbox running for each side that has neither key nor address."""
    from pipelines.sandboxes import with_sandboxes

    with with_sandboxes(settings, note=note) as ready:
        yield ready


def _answer(task: Callable[[Settings], Answer], settings: Settings, *, as_json: bool) -> None:
    """Do a task in a session and give its answer when the sandbox is gone."""
    with _session(settings) as ready:
        answer = task(ready)
    give(answer, as_json=as_json)


@app.command()
def run(
    customers: Annotated[int | None, typer.Option(help="Size of the simulated business, without a key.")] = None,
    account: AccountName = None,
    as_json: Json = False,
) -> None:
    """The whole job: extract, segment, plan, carry out what is approved, and say what came of it."""
    from pipelines.tasks import refresh

    settings = _settings(account)
    if customers is not None:
        settings = settings.model_copy(update={"sandbox_customers": customers})
    _answer(lambda ready: refresh(ready, _err), settings, as_json=as_json)


@app.command()
def extract(
    full: Annotated[
        bool, typer.Option("--full", help="Read everything again instead of what has changed.")
    ] = False,
    account: AccountName = None,
    as_json: Json = False,
) -> None:
    """Bring the raw tables up to date with Stripe."""
    from pipelines.tasks import extract_tables

    _answer(lambda ready: extract_tables(ready, _err, full=full), _settings(account), as_json=as_json)


@app.command()
def segments(account: AccountName = None, as_json: Json = False) -> None:
    """Derive the segment tables from the raw tables."""
    from pipelines.tasks import derive_segments

    _answer(lambda ready: derive_segments(ready, _err), _settings(account), as_json=as_json)


@app.command()
def plan(account: AccountName = None, as_json: Json = False) -> None:
    """Work out what would be created, changed and spent. Nothing is written to Mavera."""
    from pipelines.tasks import make_plan

    _answer(lambda ready: make_plan(ready, _err), _settings(account), as_json=as_json)


@app.command()
def approve(
    plan_hash: Annotated[str, typer.Argument(help="Hash of the plan, as `plan` shows it.")],
    by: Annotated[str | None, typer.Option(help="Who approves. Default: the user of this machine.")] = None,
    account: AccountName = None,
    as_json: Json = False,
) -> None:
    """Approve a plan by its hash, on record."""
    from pipelines.tasks import approve_plan

    _answer(
        lambda ready: approve_plan(ready, plan_hash, by=by or getpass.getuser()),
        _settings(account),
        as_json=as_json,
    )


@app.command()
def apply(account: AccountName = None, as_json: Json = False) -> None:
    """Carry out the approved plan. A plan that no longer fits is refused."""
    from pipelines.tasks import apply_plan

    _answer(lambda ready: apply_plan(ready, _err), _settings(account), as_json=as_json)


@app.command()
def reconcile(account: AccountName = None, as_json: Json = False) -> None:
    """Compare tables with Stripe and the ledger with Mavera; repair what reading can repair."""
    from pipelines.tasks import reconcile_account

    _answer(lambda ready: reconcile_account(ready, _err), _settings(account), as_json=as_json)


@app.command()
def report(
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: report.html beside the tables' folder.")
    ] = None,
    account: AccountName = None,
    as_json: Json = False,
) -> None:
    """Write what the tables say as one HTML page. Reads the tables and nothing else."""
    from pipelines.tasks import write_report

    give(write_report(_settings(account), out=out, now=datetime.now(UTC)), as_json=as_json)


@held_app.callback()
def held(context: typer.Context, account: AccountName = None, as_json: Json = False) -> None:
    """List what waits for a person: key, credits, age, reason, what was looked for."""
    if context.invoked_subcommand is None:
        from pipelines.tasks import list_held

        _answer(list_held, _settings(account), as_json=as_json)


@held_app.command("adopt")
def held_adopt(
    key: HeldKey,
    mavera_id: Annotated[str, typer.Argument(help="Id of the object at Mavera.")],
    account: AccountName = None,
    as_json: Json = False,
) -> None:
    """Take an object at Mavera as what the row made."""
    _decide(key, "adopt", account, remote_id=mavera_id, as_json=as_json)


@held_app.command("release")
def held_release(key: HeldKey, account: AccountName = None, as_json: Json = False) -> None:
    """Say that nothing was made: the credits are given back and the next approved plan makes it anew."""
    _decide(key, "release", account, as_json=as_json)


@held_app.command("retry")
def held_retry(key: HeldKey, account: AccountName = None, as_json: Json = False) -> None:
    """Let the row be sent once more; both attempts stay counted."""
    _decide(key, "resend", account, as_json=as_json)


def _decide(
    key: str,
    decision: Literal["adopt", "release", "resend"],
    account: str | None,
    *,
    as_json: bool,
    remote_id: str | None = None,
) -> None:
    from pipelines.tasks import decide_held

    def decide(ready: Settings) -> Answer:
        return decide_held(ready, key, decision, by=getpass.getuser(), remote_id=remote_id)

    _answer(decide, _settings(account), as_json=as_json)


@app.command()
def predict(
    histories: Annotated[Path, typer.Option(help="CSV (also .gz) of subscription histories.")],
    snapshot: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Day from whose end to look ahead.")],
    out: Annotated[Path, typer.Option(help="CSV to write: row, p_30d.")],
    as_json: Json = False,
) -> None:
    """The chance of churn within 30 days of every subscription live at a day, from what was known by then."""
    from pipelines.prediction import predict_histories

    give(predict_histories(histories, snapshot=snapshot.date(), out=out), as_json=as_json)


@app.command()
def sandbox(
    stripe_port: Annotated[int, typer.Option(help="Port of the pretend Stripe.")] = SANDBOX_STRIPE_PORT,
    mavera_port: Annotated[int, typer.Option(help="Port of the pretend Mavera.")] = SANDBOX_MAVERA_PORT,
    customers: Annotated[int | None, typer.Option(help="Size of the simulated business.")] = None,
    dataset: Annotated[Path | None, typer.Option(help="Folder of objects to serve instead.")] = None,
    histories: Annotated[Path | None, typer.Option(help="CSV of subscription histories to serve instead.")] = None,
) -> None:
    """Serve a pretend Stripe and a pretend Mavera on this machine until interrupted."""
    from pipelines.sandboxes import serve_sandbox

    serve_sandbox(
        _common_settings(),
        stripe_port=stripe_port,
        mavera_port=mavera_port,
        customers=customers,
        dataset=dataset,
        histories=histories,
        note=note,
    )


@webhooks_app.callback()
def webhooks(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on; put a proxy with TLS in front.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
) -> None:
    """Receive webhooks of Stripe and callbacks of Mavera until interrupted. It stores them and starts nothing."""
    if context.invoked_subcommand is None:
        from pipelines.receiver import serve_webhooks

        serve_webhooks(_common_settings(), host=host, port=port, note=note)


@webhooks_app.command("replay")
def webhooks_replay(
    events: Annotated[list[str] | None, typer.Argument(help="Ids of events. Default: all set aside.")] = None,
    account: AccountName = None,
    as_json: Json = False,
) -> None:
    """Let events that were set aside as poison wait again, or any that are settled by their ids."""
    from pipelines.tasks import replay_webhooks

    give(replay_webhooks(_settings(account), events or (), now=datetime.now(UTC)), as_json=as_json)


@app.command()
def monitor(
    host: Annotated[str, typer.Option(help="Address to listen on; there is no sign-in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 3001,
) -> None:
    """Serve the report and metrics until interrupted. `ui` does it too, on the port after its own."""
    from pipelines.monitor import serve_monitor

    serve_monitor(_common_settings(), host=host, port=port, note=note)


@app.command()
def ui(port: Annotated[int, typer.Option(help="Port of the Dagster UI on this machine.")] = 3000) -> None:
    """Open the Dagster UI on the graph, with a sandbox for each side that has no key."""
    from pipelines.ui import serve_ui

    with _session(_common_settings()) as ready:
        sys.exit(serve_ui(ready, port=port, note=note))


@app.command()
def doctor(account: AccountName = None, as_json: Json = False) -> None:
    """Check keys, permissions, clock, places and databases, by reading only; each line says what to do."""
    from pipelines.doctor import examine, refused_settings

    try:
        settings = _settings(account)
    except ValidationError as error:
        give(refused_settings(error), as_json=as_json)
    _answer(examine, settings, as_json=as_json)


@app.command()
def migrate(as_json: Json = False) -> None:
    """Bring the state and Dagster's storage to the schema of this version. Forward only; safe to repeat."""
    from pipelines.migration import migrate as bring_up_to_date

    give(bring_up_to_date(_common_settings(), note=note), as_json=as_json)


@app.command("settings")
def show_settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="As the table of the documentation.")] = False,
    as_json: Json = False,
) -> None:
    """Every setting: its variable, default and meaning. Values are not shown."""
    from pipelines.tasks import list_settings

    give(list_settings(markdown=markdown), as_json=as_json)


if __name__ == "__main__":
    main()
