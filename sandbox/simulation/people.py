"""Fake people and companies: names, e-mails, addresses, notes.

Every free text about a person or a company contains the word in `CANARY`, so that a test can prove that no
personal text left the house by looking for one word. Countries and what follows from them (currency, card
mix) are here; what customers buy is in the catalog.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Final

__all__ = ["CANARY", "COUNTRIES", "Country", "Person", "address", "person"]

CANARY: Final = "canary"


@dataclass(frozen=True, slots=True)
class Country:
    code: str
    weight: float
    currency: str
    city: str
    postal_code: str
    locale: str
    tax_percent: float = 0.0
    debit: str | None = None


COUNTRIES: Final = (
    Country("US", 0.34, "usd", "Portland", "97201", "en-US"),
    Country("GB", 0.11, "gbp", "Leeds", "LS1 4AP", "en-GB", 20, "bacs_debit"),
    Country("DE", 0.10, "eur", "Bremen", "28195", "de-DE", 19, "sepa_debit"),
    Country("FR", 0.075, "eur", "Lyon", "69002", "fr-FR", 20, "sepa_debit"),
    Country("CA", 0.06, "usd", "Halifax", "B3J 1A1", "en-CA"),
    Country("JP", 0.055, "jpy", "Sendai", "980-0021", "ja-JP"),
    Country("AU", 0.05, "usd", "Hobart", "7000", "en-AU"),
    Country("NL", 0.045, "eur", "Utrecht", "3511", "nl-NL", 21, "sepa_debit"),
    Country("ES", 0.035, "eur", "Bilbao", "48001", "es-ES", 21, "sepa_debit"),
    Country("IT", 0.03, "eur", "Torino", "10121", "it-IT", 22, "sepa_debit"),
    Country("IN", 0.025, "usd", "Pune", "411001", "en-IN"),
    Country("BR", 0.02, "usd", "Recife", "50030-230", "pt-BR"),
    Country("SE", 0.02, "eur", "Uppsala", "753 10", "sv-SE", 25),
    Country("IE", 0.015, "eur", "Cork", "T12 W26", "en-IE", 23, "sepa_debit"),
    Country("CH", 0.01, "eur", "Bern", "3011", "de-CH"),
    Country("SG", 0.01, "usd", "Singapore", "068914", "en-SG"),
)

_FIRST: Final = (
    "Ada", "Bruno", "Chiara", "Daniel", "Emeka", "Freya", "Goran", "Hana", "Ines", "Jonas", "Keiko", "Lucas",
    "Marta", "Nadia", "Otto", "Priya", "Quentin", "Rosa", "Sven", "Tomas", "Uma", "Victor", "Wanda", "Yusuf",
    "Zoe",
)  # fmt: skip
_LAST: Final = (
    "Abel", "Bianchi", "Castro", "Dumont", "Eriksen", "Fischer", "Garcia", "Haddad", "Ito", "Jansen", "Kowalski",
    "Lindt", "Moreau", "Novak", "Okafor", "Petrov", "Quist", "Rossi", "Sato", "Tanaka", "Urban", "Vogel", "Weber",
)  # fmt: skip
_TRADES: Final = (
    "Robotics",
    "Bakery",
    "Clinic",
    "Logistics",
    "Studio",
    "Foods",
    "Energy",
    "Press",
    "Optics",
    "Labs",
)
_STREETS: Final = ("Canary Row", "Canary Wharf Lane", "Old Canary Street", "Canary Hill")


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    email: str
    phone: str
    description: str
    company: str


def person(rng: Random, number: int) -> Person:
    """Customer number `number` in person; everything in it is made up and marked."""
    first, last, trade = rng.choice(_FIRST), rng.choice(_LAST), rng.choice(_TRADES)
    return Person(
        name=f"{first} Canary-{last}",
        email=f"{first}.{last}.{number}@canary-mail.example".lower(),
        phone=f"+1 555 {number % 10_000_000:07d} ext. canary",
        description=f"Canary note: {first} of {last} {trade} asked for a call back",
        company=f"{last} Canary {trade} {number}",
    )


def address(rng: Random, country: Country) -> dict[str, Any]:
    return {
        "city": country.city,
        "country": country.code,
        "line1": f"{rng.randrange(1, 400)} {rng.choice(_STREETS)}",
        "line2": None,
        "postal_code": country.postal_code,
        "state": None,
    }
