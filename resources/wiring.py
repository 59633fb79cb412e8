"""The doors as Dagster resources: each holds configuration and opens the plain object that assets use.

The only module of the room that imports Dagster. Keys are in fields marked secret, which the UI masks. Opening is
lazy: a code location loads without touching a file or a socket.
"""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field, JsonValue, SecretStr

if TYPE_CHECKING:
    from resources.lake import Lake
    from resources.mavera import MaveraApi, Throttle
    from resources.state import State

__all__ = ["LakeResource", "MaveraResource", "RatesResource", "StateResource", "StripeResource"]

_SECRET: dict[str, JsonValue] = {"dagster__is_secret": True}


class LakeResource(dg.ConfigurableResource["Lake"]):
    """The Delta tables."""

    uri: str = Field(description="Folder or bucket of the tables.")

    def open(self) -> "Lake":
        """The lake."""
        from resources.lake import Lake

        return Lake(self.uri)


class StateResource(dg.ConfigurableResource["State"]):
    """The state database."""

    url: str = Field(description="SQLAlchemy URL.", json_schema_extra=_SECRET)

    def open(self) -> "State":
        """The state, at its newest schema. Raises: StateError."""
        from resources.state import State

        state = State(self.url)
        state.migrate()
        return state


class StripeResource(dg.ConfigurableResource[None]):
    """Reading access to one Stripe account."""

    api_key: str = Field(description="Restricted key.", json_schema_extra=_SECRET)
    base_url: str = Field(description="Address of the API.")
    requests_per_second: float | None = Field(None, description="Account limit; by default Stripe's own.")
    request_budget: int | None = Field(None, description="Most requests of a run; optional ones stop first.")


class MaveraResource(dg.ConfigurableResource["MaveraApi"]):
    """Access to one Mavera key."""

    api_key: str = Field(description="Key.", json_schema_extra=_SECRET)
    base_url: str = Field(description="Address of the API.")
    sandbox: bool = Field(False, description="Send the sandbox header.")
    workspace: str | None = Field(None, description="Workspace of generations.")

    def open(self, *, throttle: "Throttle | None" = None) -> "MaveraApi":
        """A client to enter with `async with`; `throttle` is the pace shared with other processes."""
        from resources.mavera import MaveraApi

        return MaveraApi(
            base_url=self.base_url, api_key=SecretStr(self.api_key), sandbox=self.sandbox, throttle=throttle
        )


class RatesResource(dg.ConfigurableResource[None]):
    """Where exchange rates come from."""

    source: str = Field(description="File or address, see FX_RATES_URI.")
