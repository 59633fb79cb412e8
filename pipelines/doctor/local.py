"""What is checked on our side: keys as they are written, places to write to, databases, the operator's file.

Here: checks that ask neither Stripe nor Mavera. The lake is tried by writing one file and removing it; databases
are only read.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa
from pydantic import SecretStr

from activation.operator import Operator, OperatorFileError, read_operator_file
from pipelines.dagster_home import with_driver
from pipelines.doctor.finding import Finding, failed, fine, warned
from pipelines.settings import Settings
from resources.lake import Lake, LakeError
from resources.schema import column, table
from resources.state import State, StateError

__all__ = ["check_local", "operator_of"]

_GIB = 2**30
_LEAST_FREE, _GOOD_FREE = 1 * _GIB, 5 * _GIB
_CONNECT_SECONDS = 5


def check_local(settings: Settings) -> Iterator[Finding]:
    """Every check of this side."""
    yield from _keys(settings)
    yield from _webhooks(settings)
    yield from _exports(settings)
    yield _lake(settings)
    yield _state(settings)
    yield _dagster(settings)
    yield _operator(settings)
    yield _disk(settings)


def operator_of(settings: Settings) -> Operator | None:
    """What the operator's file says, if it can be read."""
    try:
        return read_operator_file(settings.operator_path)
    except OperatorFileError:
        return None


def _keys(settings: Settings) -> Iterator[Finding]:
    if settings.stripe_is_sandbox:
        yield fine("stripe key", "none: the sandbox stands in", "set STRIPE_API_KEY for a real account")
    elif settings.stripe_api_key is None:
        yield fine("stripe key", f"none: {settings.mode} data comes from exports alone")
    else:
        key, mode = settings.stripe_api_key.get_secret_value(), settings.mode.value
        if key.startswith("rk_"):
            yield fine(
                "stripe key",
                f"restricted, {mode} mode; whether it can write is not tried",
                "see in Stripe's dashboard that it has Read or None for everything, and Write for nothing",
            )
        else:
            yield warned(
                "stripe key", f"unrestricted, {mode} mode: it can write", "make a restricted key with Read only"
            )
    if settings.mavera_is_sandbox:
        yield fine("mavera key", "none: the sandbox stands in", "set MAVERA_API_KEY for a real account")
    else:
        yield fine(
            "mavera key",
            ("set, with the sandbox header" if settings.mavera_sandbox else "set") + "; its scopes are not told",
            "see at Mavera that it has personas:write, generations:write and brand-voices:write",
        )
    targets = settings.targets
    if not targets.may_apply:
        yield warned("key matrix", targets.warning or "nothing may be carried out", "set a live STRIPE_API_KEY")
    elif targets.compare_usage:
        yield warned(
            "key matrix",
            "test data and the real Mavera with the sandbox header, whose effect is not confirmed",
            "paid work stops once used credits rise; use a Mavera key without credits if in doubt",
        )
    elif targets.nothing_leaves:
        yield fine("key matrix", "live Stripe and a stand-in for Mavera: nothing leaves")
    else:
        yield fine("key matrix", f"{settings.mode} data may be planned and carried out")


def _webhooks(settings: Settings) -> Iterator[Finding]:
    secrets = settings.stripe_webhook_secrets
    if not secrets:
        yield fine(
            "stripe webhooks",
            "no secret: changes come with the schedule",
            "set STRIPE_WEBHOOK_SECRETS and run `stripe-mavera webhooks` to have them at once",
        )
    elif wrong := sum(not secret.get_secret_value().startswith("whsec_") for secret in secrets):
        yield failed(
            "stripe webhooks",
            f"{wrong} of {len(secrets)} secrets are no signing secrets",
            "copy the endpoint's signing secret (whsec_…) into STRIPE_WEBHOOK_SECRETS",
        )
    elif len(secrets) > 2:
        yield warned(
            "stripe webhooks", f"{len(secrets)} secrets", "keep the current one, and the last while it is rolled"
        )
    else:
        yield fine("stripe webhooks", "one secret" if len(secrets) == 1 else "two secrets: one is being rolled")
    if settings.mavera_callback_url is not None and settings.mavera_webhook_secret is None:
        yield failed(
            "mavera callbacks",
            "MAVERA_CALLBACK_URL is given to Mavera, but callbacks are refused",
            "set MAVERA_WEBHOOK_SECRET",
        )
    else:
        signed = settings.mavera_webhook_secret is not None
        yield fine("mavera callbacks", "signed callbacks are taken" if signed else "off: results are polled")


def _exports(settings: Settings) -> Iterator[Finding]:
    uri = settings.stripe_exports_uri
    if uri is None:
        return
    if "://" not in uri and not Path(uri).expanduser().is_dir():
        yield failed("exports", f"{uri} is no folder", "correct STRIPE_EXPORTS_URI")
    else:
        yield fine("exports", uri)


def _existing(path: Path) -> Path:
    """The nearest place that is there: the folder itself or one above it."""
    return next(place for place in (path, *path.parents) if place.exists())


def _refusal(folder: Path) -> str | None:
    """Why no file can be written below a folder that may not be there yet; None if one can."""
    place = _existing(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"{place}: {error.strerror}"
    return None


def _lake(settings: Settings) -> Finding:
    lake = Lake(settings.lake)
    if "://" not in settings.lake:
        refusal = _refusal(Path(settings.lake))
        if refusal is not None:
            return failed("lake", f"cannot be written: {refusal}", "free space or rights there, or set LAKE_URI")
        there = Path(settings.lake).is_dir()
        return fine("lake", settings.lake + ("" if there else " (made by the first run)"))
    # A bucket tells only by a write; the probe is one row that the next doctor overwrites.
    schema = table("Proof that the lake can be written.", [column("row", pa.int64(), "one")], key=("row",))
    try:
        lake.replace("_doctor", pa.table({"row": [1]}), schema)
    except LakeError as error:
        return failed("lake", str(error), "check LAKE_URI and the bucket's credentials in the environment")
    return fine("lake", f"{settings.lake} was written and read")


def _state(settings: Settings) -> Finding:
    url = sa.make_url(settings.state_url)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        refusal = _refusal(Path(url.database).parent)
        if refusal is not None:
            return failed("state", f"cannot be written: {refusal}", "free it, or set STATE_DATABASE_URL")
        return fine("state", f"{url.database} (made by the first run)")
    patient = url
    if url.get_backend_name() != "sqlite":
        patient = url.update_query_dict({"connect_timeout": str(_CONNECT_SECONDS)})
    state = State(patient.render_as_string(hide_password=False), schema=settings.state_schema)
    try:
        revision, newest = state.revisions()
    except StateError as error:
        return failed("state", str(error), "check STATE_DATABASE_URL and whether its server runs")
    finally:
        state.close()
    shown = url.render_as_string(hide_password=True)
    if revision == newest:
        return fine("state", f"{shown}, schema {revision}")
    if revision is not None and revision > newest:
        return failed("state", f"{shown}, schema {revision} is newer than {newest}", "install the newer version")
    return fine("state", f"{shown}, schema {revision or 'empty'}, newest {newest}", "stripe-mavera migrate")


def _dagster(settings: Settings) -> Finding:
    if settings.dagster_postgres_url is None:
        refusal = _refusal(settings.dagster_home)
        if refusal is not None:
            return failed("dagster", f"cannot be written: {refusal}", "free it, or set DATA_DIR")
        return fine(
            "dagster", f"SQLite in {settings.dagster_home}", "set DAGSTER_POSTGRES_URL for more than one machine"
        )
    return _postgres(settings.dagster_postgres_url)


def _postgres(secret: SecretStr) -> Finding:
    url = sa.make_url(with_driver(secret.get_secret_value()))
    shown = url.render_as_string(hide_password=True)
    engine = sa.create_engine(url, connect_args={"connect_timeout": _CONNECT_SECONDS})
    try:
        with engine.connect() as connection:
            version = connection.execute(sa.text("SHOW server_version")).scalar_one()
            may_create = connection.execute(
                sa.text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
            ).scalar_one()
    except sa.exc.SQLAlchemyError as error:
        cause = " ".join(str(getattr(error, "orig", None) or error).split())
        return failed("dagster", f"{shown}: {cause}", "check DAGSTER_POSTGRES_URL and whether its server runs")
    finally:
        engine.dispose()
    if not may_create:
        return failed("dagster", f"{shown}: no tables may be made", "GRANT CREATE on the schema to this user")
    return fine("dagster", f"{shown}, PostgreSQL {version}")


def _operator(settings: Settings) -> Finding:
    path = settings.operator_path
    try:
        said = read_operator_file(path)
    except OperatorFileError as error:
        return failed("operator file", str(error), "correct the entry")
    if path.exists():
        copies = sum(len(by_product) for by_product in said.product_copy.values())
        return fine("operator file", f"{path}: {len(said.products)} products, {copies} texts to rewrite")
    if settings.operator_file is not None:
        return failed("operator file", f"{path} is not there", "write it, or correct OPERATOR_FILE")
    return warned(
        "operator file",
        f"no {path}: products stay unnamed, no copy is rewritten, no case study is drafted",
        "cp operator.example.toml operator.toml, and say what holds for your business",
    )


def _disk(settings: Settings) -> Finding:
    place = _existing(settings.data_dir.absolute())
    free = shutil.disk_usage(place).free
    found = f"{free / _GIB:.1f} GiB free at {place}"
    if free < _LEAST_FREE:
        return failed("disk", found, "free space: pages and tables are written there")
    if free < _GOOD_FREE:
        return warned("disk", found, "free space, or start the job maintain")
    return fine("disk", found)
