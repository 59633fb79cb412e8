"""Countries and the UN M49 sub-region of each.

Here: reading `m49_regions.csv` (ISO 3166-1 alpha-2 → sub-region, https://unstats.un.org/unsd/methodology/m49/,
and Kosovo, which M49 leaves out, with its neighbours), and the spellings of a country that Stripe data holds.
Not here: which country a customer belongs to (`segments.markets`). No library: those that know regions are GPL
or unkept.
"""

import csv
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

__all__ = ["ALIASES", "UNKNOWN", "region_of", "regions"]

UNKNOWN: Final = "unknown"

ALIASES: Final = MappingProxyType({"UK": "GB", "EL": "GR", "XI": "GB"})
"""Codes of VAT numbers and of habit: EL is Greece, XI Northern Ireland."""


@cache
def regions() -> MappingProxyType[str, str]:
    """Sub-region by country code."""
    text = resources.files("segments").joinpath("m49_regions.csv").read_text(encoding="utf-8")
    return MappingProxyType({row["country"]: row["region"] for row in csv.DictReader(text.splitlines())})


def region_of(country: str | None) -> str:
    """The sub-region of a country, or `unknown`."""
    return regions().get(country or "", UNKNOWN)
