"""Exchange rates from outside: the daily reference feed of the European Central Bank, or an operator's file.

Here: fetching and parsing into plain rows (date, currency, units per euro as exact text, source). Not here: cross
rates and conversion (`segments.fx`). Two layouts are read: the bank's (`Date,USD,JPY,…`, newest first, "N/A" where
there is none; https://www.ecb.europa.eu/stats/eurofxref/) as CSV or zipped, and an operator's
(`date,currency,rate`).
"""

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

__all__ = ["RateRow", "RatesError", "read_rates"]

_TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 4
_LARGEST_BYTES = 32 * 2**20
_ECB = "European Central Bank"


class RatesError(RuntimeError):
    """The rates cannot be fetched or read; the message names the source and what is wrong."""


class RateRow(TypedDict):
    """Units of `currency` (lower case) that one euro was worth on `date`, as exact text."""

    date: date
    currency: str
    rate: str
    source: str


def read_rates(source: str, *, since: date, client: Callable[[], httpx.Client] | None = None) -> list[RateRow]:
    """Rates since a day, in order of day and currency, from a path or an http(s) address.

    Besides, of each currency the last rate before that day: it holds until there is a later one.
    Raises: RatesError, also when no currency has a rate since that day.
    """
    remote = urlsplit(source).scheme in ("http", "https")
    try:
        content = _download(source, client or _client) if remote else Path(source).read_bytes()
    except (httpx.HTTPError, OSError) as error:
        raise RatesError(f"exchange rates cannot be read from {source}: {error}") from error
    found: list[RateRow] = []
    before: dict[str, RateRow] = {}
    try:
        for row in _parse(_unzipped(content), source):
            if row["date"] >= since:
                found.append(row)
            elif row["currency"] not in before or before[row["currency"]]["date"] < row["date"]:
                before[row["currency"]] = row
    except (UnicodeDecodeError, zipfile.BadZipFile, csv.Error, ValueError) as error:
        raise RatesError(f"exchange rates of {source} are not readable: {error}") from error
    if not found:
        raise RatesError(f"exchange rates of {source} have no day since {since}")
    return sorted([*before.values(), *found], key=lambda row: (row["date"], row["currency"]))


def _client() -> httpx.Client:
    return httpx.Client(timeout=_TIMEOUT_SECONDS, follow_redirects=True)


@retry(
    retry=retry_if_exception_type(httpx.TransportError),
    stop=stop_after_attempt(_ATTEMPTS),
    wait=wait_random_exponential(multiplier=0.5, max=5),
    reraise=True,
)
def _download(address: str, client: Callable[[], httpx.Client]) -> bytes:
    with client() as http:
        answer = http.get(address)
        answer.raise_for_status()
        if len(answer.content) > _LARGEST_BYTES:
            raise OSError(f"more than {_LARGEST_BYTES:,} bytes")
        return answer.content


def _unzipped(content: bytes) -> str:
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            first = archive.infolist()[0]
            if first.file_size > _LARGEST_BYTES:
                raise ValueError(f"more than {_LARGEST_BYTES:,} bytes")
            content = archive.read(first)
    return content.decode("utf-8-sig")


def _parse(text: str, source: str) -> Iterator[RateRow]:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    header = [name.strip().lower() for name in reader.fieldnames or ()]
    reader.fieldnames = header
    if header[:3] == ["date", "currency", "rate"]:
        for row in reader:
            yield _row(row["date"], row["currency"], row["rate"], source)
    elif header[:1] == ["date"]:
        for row in reader:
            for currency in header[1:]:
                quoted = row[currency]
                if currency and quoted and quoted.strip() not in ("", "N/A"):
                    yield _row(row["date"], currency, quoted, _ECB)
    else:
        raise ValueError("expected a header `date,currency,rate` or `Date,USD,…`")


def _row(day: str | None, currency: str | None, rate: str | None, source: str) -> RateRow:
    try:
        value = Decimal((rate or "").strip())
    except InvalidOperation as error:
        raise ValueError(f"{rate!r} of {currency} on {day} is no rate") from error
    if not value.is_finite() or value <= 0:
        raise ValueError(f"the rate of {currency} on {day} is {value}")
    return RateRow(
        date=date.fromisoformat((day or "").strip()),
        currency=(currency or "").strip().lower(),
        rate=str(value),
        source=source,
    )
