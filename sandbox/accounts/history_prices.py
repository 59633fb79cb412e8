"""Products and prices for plans of which only the name is known.

The prices are ASSUMED (`assumed_prices.json`): the histories hold none, and every amount that is computed from
them rests on the assumption. Prices and products say so in their metadata.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sandbox.accounts.history_rows import History
from sandbox.simulation.shapes_prices import PlanSpec, legacy_plan, price_object
from sandbox.simulation.world import World

__all__ = ["AssumedPrices", "PriceBook", "Sold"]

Obj = dict[str, Any]

_ASSUMED: Final = Path(__file__).with_name("assumed_prices.json")


class AssumedPrices:
    """The assumed list prices, in minor units per seat and interval; unknown plans get the default."""

    def __init__(self, path: Path = _ASSUMED) -> None:
        content = json.loads(path.read_text())
        self.currency: str = content["currency"]
        self._prices: dict[str, dict[str, int]] = content["prices"]
        self._default: dict[str, int] = content["default"]

    def of(self, plan_id: str, interval: str) -> int:
        known = self._prices.get(plan_id, {}).get(interval)
        if known is None and interval not in self._default:
            raise ValueError(f"no price is assumed for interval {interval!r}")
        return self._default[interval] if known is None else known


@dataclass(frozen=True, slots=True)
class Sold:
    """A plan at its assumed price."""

    spec: PlanSpec
    price: Obj
    plan: Obj
    cents: int


class PriceBook:
    """The plans that appear in the histories."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._assumed = AssumedPrices()
        self._sold: dict[tuple[str, str], Sold] = {}

    @property
    def currency(self) -> str:
        return self._assumed.currency

    def of(self, history: History) -> Sold:
        """The price of a row's plan; made when it is first asked for."""
        key = (history.plan_id, history.interval)
        if key in self._sold:
            return self._sold[key]
        world = self._world
        cents = self._assumed.of(*key)
        spec = PlanSpec(
            history.plan_id,
            history.plan_id,
            str(cents),
            history.interval,
            nickname=f"{history.plan_id} (assumed price)",
        )
        product_id = world.ids.new("prod")
        product = {
            "id": product_id,
            "object": "product",
            "active": True,
            "created": world.start,
            "description": None,
            "livemode": False,
            "metadata": {"price": "assumed"},
            "name": history.plan_id,
            "type": "service",
            "updated": world.start,
        }
        price = price_object(
            world.ids.new("price"),
            spec,
            currency=self._assumed.currency,
            product=product_id,
            created=world.start,
            livemode=False,
            active=True,
        )
        price |= {
            "unit_amount": cents,
            "unit_amount_decimal": str(cents),
            "metadata": {"assumed": "true"},
            "lookup_key": f"{history.plan_id}_{history.interval}",
        }
        world.put("products", product)
        world.put("prices", price)
        self._sold[key] = sold = Sold(spec, price, legacy_plan(price), cents)
        return sold
