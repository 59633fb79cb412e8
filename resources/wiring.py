"""The doors as Dagster resources: each holds configuration and opens the plain object that assets use.

The only module of the room that imports Dagster. Opening is lazy: a code location loads without touching a file or
a socket. Keys, and addresses that may hold a password, are dependencies, no configuration: Dagster stores a job's
configuration in clear with its defaults, also of fields marked secret, and shows it in the launchpad.
"""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field, SecretStr

from resources.engines import EngineName
from resources.spark import SparkChoices

if TYPE_CHECKING:
    from datetime import date

    from resources.engines import Engine
    from resources.fx import RateRow
    from resources.lake import Lake
    from resources.mavera import MaveraApi, Throttle
    from resources.state import State
    from resources.stripe_api import StripeApi

__all__ = [
    "ExportsResource",
    "LakeResource",
    "MaveraResource",
    "RatesResource",
    "SegmentChoices",
    "StateResource",
    "StripeResource",
]

# How long a run waits for a Stripe that does not answer at all before it ends with one line.
UNREACHABLE_AFTER_SECONDS = 60.0


class LakeResource(dg.ConfigurableResource["Lake"]):
    """The Delta tables."""

    uri: str = Field(description="Folder or bucket of the tables.")

    def open(self) -> "Lake":
        """The lake."""
        from resources.lake import Lake

        return Lake(self.uri)


class StateResource(dg.ConfigurableResource["State"]):
    """The state database."""

    url: dg.ResourceDependency[SecretStr]
    schema_name: str | None = Field(
        None, description="PostgreSQL schema of an account's own; none: the usual one."
    )

    def open(self) -> "State":
        """The state, at its newest schema, the same one for the whole process. Raises: StateError."""
        from resources.state import open_state

        return open_state(self.url.get_secret_value(), schema=self.schema_name)


class StripeResource(dg.ConfigurableResource["StripeApi"]):
    """Reading access to one Stripe account; without a key nothing but exports is read."""

    api_key: dg.ResourceDependency[SecretStr]
    base_url: str = Field(description="Address of the API.")
    account: str | None = Field(None, description="Id of the account that the key must belong to.")
    requests_per_second: float | None = Field(None, description="Account limit; by default Stripe's own.")
    request_budget: int | None = Field(None, description="Most requests of a run; optional ones stop first.")
    staging: str = Field(description="Local folder for pages under way; a killed run goes on from it.")

    @property
    def has_key(self) -> bool:
        """Whether there is an API to be read."""
        return bool(self.api_key.get_secret_value())

    def open(self) -> "StripeApi":
        """A client to enter with `async with`, with a limiter of its own."""
        from resources.limiter import Limiter, key_kind
        from resources.stripe_api import StripeApi

        own = key_kind(self.api_key.get_secret_value()).requests_per_second
        limiter = Limiter(requests_per_second=self.requests_per_second or own, budget=self.request_budget)
        return StripeApi(
            self.api_key,
            limiter=limiter,
            base_url=self.base_url,
            account=self.account,
            unreachable_after=UNREACHABLE_AFTER_SECONDS,
        )


class ExportsResource(dg.ConfigurableResource[None]):
    """Where Stripe delivers exports, and what an operator knows about them."""

    uri: str | None = Field(None, description="Folder or bucket; none: no exports.")
    livemode: bool = Field(True, description="Which of the trees `livemode/` and `testmode/` is read.")
    lag_hours: float = Field(12, description="Age of what a Data Pipeline run shows when its marker appears.")
    csv_without_discounts: bool = Field(
        False, description="Subscriptions of the Dashboard's CSV have no discounts."
    )


class MaveraResource(dg.ConfigurableResource["MaveraApi"]):
    """Access to one Mavera key."""

    api_key: dg.ResourceDependency[SecretStr]
    base_url: str = Field(description="Address of the API.")
    sandbox: bool = Field(False, description="Send the sandbox header.")
    workspace: str | None = Field(None, description="Workspace of generations.")

    def open(self, *, throttle: "Throttle | None" = None) -> "MaveraApi":
        """A client to enter with `async with`; `throttle` is the pace shared with other processes."""
        from resources.mavera import MaveraApi

        return MaveraApi(base_url=self.base_url, api_key=self.api_key, sandbox=self.sandbox, throttle=throttle)


class RatesResource(dg.ConfigurableResource[None]):
    """Where exchange rates come from."""

    source: str = Field(description="File or address of the rates.")

    def read(self, *, since: "date") -> "list[RateRow]":
        """Rates since a day. Raises: RatesError."""
        from resources.fx import read_rates

        return read_rates(self.source, since=since)


class SegmentChoices(dg.ConfigurableResource["Engine"]):
    """What an operator chooses about segments."""

    reporting_currency: str = Field(description="Currency of tiers and totals, ISO 4217, lower case.")
    engine: EngineName = Field("pandas", description="What runs the segment functions.")
    spark: dg.ResourceDependency[SparkChoices]

    def open(self) -> "Engine":
        """The engine, for the tables of one step. Raises: EngineError."""
        from resources.engines import open_engine

        return open_engine(self.engine, spark=self.spark)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """A Spark session serves all steps of a run and ends with it."""
        if self.engine == "pyspark":
            from resources.spark import stop

            stop()
