"""Exchange rates from a feed in the central bank's layout and from an operator's file."""

import io
import zipfile
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path

import httpx
import pytest

from resources.fx import RatesError, read_rates
from segments.fx import FxRates
from segments.rates import rates_at

_SINCE = date(2026, 1, 1)
_FEED = "Date, USD, JPY, RUB, \n2026-01-03, 1.0812, 169.5, N/A, \n2026-01-02, 1.0800, 169.1, N/A, \n"


def _file(folder: Path, content: bytes | str, name: str = "rates.csv") -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def _zipped(text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("eurofxref-hist.csv", text)
    return out.getvalue()


@pytest.mark.parametrize(
    "content", [pytest.param(_FEED.encode(), id="as CSV"), pytest.param(_zipped(_FEED), id="zipped")]
)
def test_the_banks_layout_gives_exact_texts_by_day_and_leaves_out_what_is_not_quoted(
    content: bytes, tmp_path: Path
) -> None:
    rows = read_rates(_file(tmp_path, content), since=_SINCE)
    assert [(row["date"].isoformat(), row["currency"], row["rate"]) for row in rows] == [
        ("2026-01-02", "jpy", "169.1"),
        ("2026-01-02", "usd", "1.0800"),
        ("2026-01-03", "jpy", "169.5"),
        ("2026-01-03", "usd", "1.0812"),
    ]


def test_an_operators_file_is_read_with_its_own_name_as_the_source(tmp_path: Path) -> None:
    source = _file(tmp_path, "date,currency,rate\n2026-01-02,USD,1.08\n")
    assert read_rates(source, since=_SINCE) == [
        {"date": date(2026, 1, 2), "currency": "usd", "rate": "1.08", "source": source}
    ]


def test_of_the_days_before_the_wanted_ones_each_currencys_last_is_kept(tmp_path: Path) -> None:
    source = _file(
        tmp_path,
        "date,currency,rate\n2024-01-01,aed,3.97\n2023-01-01,aed,3.9\n2026-01-01,usd,1.07\n2026-01-02,usd,1.08\n",
    )
    rows = read_rates(source, since=date(2026, 1, 2))
    assert [(row["date"].isoformat(), row["currency"], row["rate"]) for row in rows] == [
        ("2024-01-01", "aed", "3.97"),
        ("2026-01-01", "usd", "1.07"),
        ("2026-01-02", "usd", "1.08"),
    ]
    fixed = rates_at(FxRates(rows), reporting_currency="usd", on=datetime(2026, 1, 2, tzinfo=UTC))
    assert fixed["aed"] == (Fraction("1.08") / Fraction("3.97"), date(2024, 1, 1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("day;usd\n", "expected a header", id="another layout"),
        pytest.param("date,currency,rate\n2026-01-02,usd,abc\n", "'abc' of usd", id="no number"),
        pytest.param("date,currency,rate\n2026-01-02,usd,-1\n", "is -1", id="a negative rate"),
        pytest.param("date,currency,rate\n2026-01-02,usd,NaN\n", "is NaN", id="not a number"),
        pytest.param("date,currency,rate\n02.01.2026,usd,1\n", "not readable", id="another date"),
        pytest.param("date,currency,rate\n2020-01-02,usd,1\n", "no day since 2026-01-01", id="too old"),
        pytest.param(b"PK\x03\x04broken", "not readable", id="a broken archive"),
        pytest.param(b"\xff\xfe\x00", "not readable", id="not a text"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_source_and_the_reason(
    content: bytes | str, message: str, tmp_path: Path
) -> None:
    source = _file(tmp_path, content)
    with pytest.raises(RatesError, match=message) as raised:
        read_rates(source, since=_SINCE)
    assert source in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RatesError, match="no-such-file"):
        read_rates(str(tmp_path / "no-such-file.csv"), since=_SINCE)


def test_a_feed_that_answers_with_an_error_is_named() -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(503))
    with pytest.raises(RatesError, match="503"):
        read_rates("http://127.0.0.1/rates.csv", since=_SINCE, client=lambda: httpx.Client(transport=transport))


def test_a_feed_is_read_over_http() -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, text=_FEED))
    rows = read_rates("http://127.0.0.1/rates.csv", since=_SINCE, client=lambda: httpx.Client(transport=transport))
    assert len(rows) == 4
