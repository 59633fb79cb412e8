"""How many decimals each currency has in Stripe's minor units: the one list that every room reads or prints by.

Here: the published list, as constants. Not here: conversion and display (`segments.money`, `activation.rounding`).
The decimals are Stripe's, not those of ISO 4217 or CLDR: https://docs.stripe.com/currencies. A leaf: it imports
nothing of the project, which is why `segments` may import it and nothing else of this room.
"""

import json
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Final

__all__ = ["DECIMALS", "DISPUTED", "WHOLE_UNITS"]

_LISTED: Final = json.loads(
    resources.files("resources").joinpath("stripe_exponents.json").read_text(encoding="utf-8")
)

DECIMALS: Final[Mapping[str, int]] = MappingProxyType(
    {
        **dict.fromkeys(_LISTED["two"], 2),
        **dict.fromkeys(_LISTED["two_but_whole_units"], 2),
        **dict.fromkeys(_LISTED["zero"], 0),
        **dict.fromkeys(_LISTED["three"], 3),
    }
)
"""By lower-case code; a code that is not here has no known minor unit."""

WHOLE_UNITS: Final[frozenset[str]] = frozenset(_LISTED["two_but_whole_units"])
"""Currencies with two decimals on the wire that are charged in whole units."""

DISPUTED: Final[frozenset[str]] = frozenset(_LISTED["disputed"])
"""Currencies that Stripe's page puts on two lists."""
