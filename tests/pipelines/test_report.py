"""The report: what it says of small tables, what it never says, and that what a model wrote stays text."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from activation.tables import MAVERA_TABLES
from pipelines.answer import Exit
from pipelines.report.facts import PARTS, Facts, NothingToReportError, gather
from pipelines.report.page import page
from pipelines.settings import Settings
from pipelines.tasks import write_report
from resources.lake import Lake
from segments.tables import SEGMENT_TABLES

NOW = datetime(2026, 5, 15, 12, tzinfo=UTC)
AS_OF = datetime(2026, 5, 15, 9, tzinfo=UTC)
MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)
UNIT = 100
TABLES = {f"segments/{name}": schema for name, schema in SEGMENT_TABLES.items()} | {
    f"mavera/{name}": schema for name, schema in MAVERA_TABLES.items()
}
OBJECT = {
    "spec_version": "v1",
    "mavera_id": "gen_secret",
    "status": "active",
    "credits": 12,
    "content_hash": "h",
    "template_version": "t-1",
    "since": NOW,
    "updated_at": NOW,
}
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> \x1b[31mred\x1b[0m \x07bell \u202egnp.exe\u202c "
    '"><a href="https://evil.example/x">click</a> {{ 7 * 7 }} </blockquote></style><svg onload=alert(3)>'
)

Rows = list[dict[str, Any]]


def _customers(
    count: int, tier: str, mrr: int, first: int, state: str = "healthy", at_risk: int = 0
) -> dict[str, Rows]:
    """Customers of one tier with equal MRR, in the tables that hold one row a customer."""
    names = [f"cus_{number:06d}" for number in range(first, first + count)]
    return {
        "segments/mrr_tiers": [
            {
                "customer": name,
                "tier": tier,
                "mrr_minor": mrr,
                "subscriptions": 1,
                "complete": True,
                "since": AS_OF,
                "movement": "none",
                "amounts": "",
            }
            for name in names
        ],
        "segments/churn_risk": [
            {
                "customer": name,
                "state": state,
                "kind": "involuntary",
                "score": 0,
                "signals": "",
                "explanation": "",
                "since": AS_OF,
                "mrr_at_risk_minor": at_risk,
            }
            for name in names
        ],
        "segments/customer_markets": [
            {
                "customer": name,
                "country": "DE" if number else "unknown",
                "region": "Western Europe",
                "currency": "usd",
                "source": "card",
                "agreement": 1,
                "confidence": "high" if number else "none",
            }
            for number, name in enumerate(names)
        ],
        "segments/customer_mrr_months": [
            {"customer": name, "month": month, "currency": "usd", "mrr_minor": mrr, "mrr_list_minor": mrr}
            for name in names
            for month in (MARCH, APRIL)
            if mrr
        ],
    }


def _market(country: str, customers: int, paid: int) -> dict[str, Any]:
    return {
        "country": country,
        "region": "r",
        "currency": "usd",
        "customers": customers,
        "paying_customers": customers,
        "paid_charges": 90,
        "paid_minor": paid,
        "paid_reporting_minor": paid,
        "attempted": 10_000,
        "succeeded": 9_876,
        "success_rate": 0.9876,
        "dispute_rate": 0.0123,
        "high_confidence_share": 0.75,
    }


def _disputes(reason: str, disputes: int, won: int, lost: int) -> dict[str, Any]:
    return {
        "reason": reason,
        "product": "prod_secret",
        "month": APRIL,
        "currency": "usd",
        "disputes": disputes,
        "inquiries": 2,
        "won": won,
        "lost": lost,
        "uncontested": 0,
        "open": disputes - won - lost,
        "customers": disputes,
        "amount_minor": 100,
        "payments": 900,
        "small_number": disputes < 5,
        "copy_fixable": reason == "unrecognized",
        "copy_fixable_disputes": 0,
    }


def _cohort(cohort: str, tier: str, customers: int, expected: int) -> dict[str, Any]:
    return {
        "segment_key": f"retention:{cohort}:{tier}",
        "cohort": cohort,
        "tier": tier,
        "customers": customers,
        "subscriptions": customers,
        "unknown_mrr": 0,
        "mrr_minor": expected * 10 * UNIT,
        "expected_30d_minor": expected * UNIT,
        "expected_90d_minor": expected * 2 * UNIT,
        "lost_minor": 0,
        "at_stake_minor": expected * UNIT,
    }


def _rows() -> dict[str, Rows]:
    rows: dict[str, Rows] = {name: [] for name in TABLES}
    groups = (
        _customers(30, "smb", 50 * UNIT, 0),
        _customers(26, "mid_market", 2_000 * UNIT, 100, "past_due", 2_000 * UNIT),
        _customers(3, "enterprise", 12_345 * UNIT + 67, 200, "at_risk", 12_345 * UNIT + 67),
        _customers(2, "none", 0, 300, "canceled"),
    )
    for group in groups:
        for table, more in group.items():
            rows[table] += more
    rows["segments/fx_rates"] = [{"date": APRIL, "currency": "eur", "rate": "1", "source": "a feed"}]
    gone = {"customer": "cus_777777", "month": APRIL, "opening_minor": 700, "movement_minor": -700, "fx_minor": 0}
    rows["segments/mrr_movements"] = [{**gone, "movement": "churn", "closing_minor": 0}]
    rows["segments/customer_mrr_months"].append(
        {"customer": "cus_777777", "month": MARCH, "currency": "usd", "mrr_minor": 700, "mrr_list_minor": 700}
    )
    rows["segments/segment_history"] = [
        {"day": date(2026, 5, day), "family": "tier", "segment": "smb", "customers": 30, "mrr_minor": day * 100}
        for day in (14, 15)
    ]
    rows["segments/markets"] = [_market("DE", 58, 987_654 * UNIT), _market("LU", 4, 4_444 * UNIT + 44)]
    rows["segments/growth"] = [
        {
            "customer": f"cus_{number:06d}",
            "months": 12,
            "expansions": 1,
            "gates_passed": "",
            "gates_failed": "" if number < 26 else "tenure; points",
            "candidate": number < 25,
        }
        for number in range(60)
    ]
    rows["segments/disputes_by_reason"] = [_disputes("unrecognized", 12, 5, 5), _disputes("duplicate", 2, 0, 0)]
    rows["segments/churn_cohorts"] = [
        _cohort("payment_recovery", "smb", 30, 1_500),
        _cohort("payment_recovery", "mid_market", 26, 2_500),
        _cohort("save_offer", "smb", 3, 12_345),
    ]
    rows["segments/subscription_mrr"] = [
        {"subscription": "sub_secret", "complete": True, "reasons": "", "profile": "default-v1", "rules": "a hash"}
    ]
    rows["mavera/plan"] = [
        {
            "position": position,
            "plan_hash": "abcdef0123456789",
            "action": action,
            "kind": "persona",
            "segment_key": key,
            "spec_version": "v1",
            "credits": credits,
            "reason": reason,
            "difference": json.dumps(difference),
        }
        for position, (action, key, credits, reason, difference) in enumerate(
            [
                (
                    "update",
                    "tier:smb",
                    300,
                    "material change",
                    [{"field": "customers", "before": 25, "after": 30}],
                ),
                ("suppressed", "market:country:LU:usd", 0, "fewer than 25 customers", []),
            ]
        )
    ]
    rows["mavera/outcomes"] = [
        {
            **{name: rows["mavera/plan"][0][name] for name in ("position", "plan_hash", "action", "kind")},
            "segment_key": "tier:smb",
            "run_id": "run",
            "credits": 300,
            "ending": "held",
            "ending_reason": "no answer",
            "next_action": "decide",
        }
    ]
    rows["mavera/personas"] = [{**OBJECT, "segment_key": "tier:smb", "name": f"SMB {HOSTILE}", "version": 2}]
    rows["mavera/generations"] = [
        {
            **OBJECT,
            "segment_key": "retention:win_back:smb",
            "cohort": "win_back",
            "result": "completed",
            "title": HOSTILE,
            "text": HOSTILE,
        },
        {
            **OBJECT,
            "segment_key": "retention:old",
            "cohort": "win_back",
            "result": "completed",
            "title": "old",
            "text": "superseded text",
            "status": "superseded",
        },
    ]
    rows["mavera/case_studies"] = [
        {**OBJECT, "segment_key": "case_study:smb", "result": "completed", "text": "word " * 4_000}
    ]
    rows["mavera/copy_fixes"] = [
        {
            **OBJECT,
            "segment_key": "copy_fix:unrecognized",
            "result": "invalid",
            "original": HOSTILE,
            "rewritten": None,
            "rationale": HOSTILE,
        }
    ]
    attempts = (
        (datetime(2026, 4, 30, 23, tzinfo=UTC), 40, True, "done"),
        (datetime(2026, 5, 1, tzinfo=UTC), 250, True, "done"),
        (NOW, 300, False, "unknown"),
    )
    rows["mavera/spend"] = [
        {
            "kind": "persona",
            "segment_key": "tier:smb",
            "spec_version": "v1",
            "run_id": "run",
            "attempt": number,
            "started_at": started,
            "credits": credits,
            "settled": settled,
            "outcome": outcome,
        }
        for number, (started, credits, settled, outcome) in enumerate(attempts, start=1)
    ]
    return rows


def _write(lake: Lake, *, without: tuple[str, ...] = ()) -> None:
    for name, rows in _rows().items():
        if name in without:
            continue
        schema = TABLES[name]
        filled = [{"as_of": AS_OF, "reporting_currency": "usd", **row} for row in rows]
        table = pa.table(
            {field.name: pa.array([row.get(field.name) for row in filled], field.type) for field in schema}
        )
        lake.replace(name, table, schema, facts={"read:stripe/charges": "3"})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def _facts(lake: Lake, *, cap: int | None = 1_000) -> Facts:
    return gather(lake, reporting_currency="eur", month_cap=cap, mode="sandbox", pretend_credits=True, now=NOW)


class _Reader(HTMLParser):
    """Elements with their attributes, and the text of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._text).split())


def _section(html: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', html, re.DOTALL)
    assert found is not None
    return _Reader(found[0]).text


def test_every_part_says_what_its_tables_say(lake: Lake) -> None:
    _write(lake)
    html = page(_facts(lake))
    text = _Reader(html).text
    assert "MRR 90,537.01 USD known for every customer" in text
    assert "Paying customers 59 of 61 customers" in text
    assert "MRR at risk 89,037.01 USD 29 customers, 98.3% of MRR" in text
    assert "550 of a budget of 1,000" in text
    assert "3 hours before this page was made" in text
    assert "Opening 90,544.01 USD" in _section(html, "movements")
    assert "Churn −7.00 USD" in _section(html, "movements")
    assert "Closing 90,537.01 USD" in _section(html, "movements")
    assert "Past due, involuntary 26 52,000.00 USD" in _section(html, "risk")
    assert "Payment recovery 56 4,000.00 USD 8,000.00 USD 0.00 USD" in _section(html, "risk")
    assert "Germany USD 58 987,654.00 USD 98.8% 1.23% 75%" in _section(html, "markets")
    assert "Country unknown for 6.6% of customers" in _section(html, "markets")
    assert "25 of 60 customers could be part of a case study" in _section(html, "growth")
    assert "Unrecognized copy can help 12 50% 24% to 76%" in _section(html, "disputes")
    assert "Too few to conclude from: Duplicate." in _section(html, "disputes")
    assert "customers: 25 → 30" in _section(html, "plan")
    assert "Held: no answer decide" in _section(html, "plan")
    assert "market:country:LU:usd fewer than 25 customers" in _section(html, "plan")
    assert "550 credits counted in 2026-05 of a budget of 1,000 (55%)." in _section(html, "spend")
    assert "250 of them are confirmed" in _section(html, "spend")
    assert "1 attempt has no outcome yet" in _section(html, "spend")
    assert "590 credits ever" in _section(html, "spend")
    assert "default-v1" in _section(html, "sources")
    assert "stripe/charges 3" in _section(html, "sources")
    assert html.count('<svg viewBox="0 0 400') == 3


def test_a_small_group_shows_no_exact_size_and_rounded_money_or_none(lake: Lake) -> None:
    _write(lake)
    html = page(_facts(lake))
    assert "Enterprise under 25 about 37,000 USD" in _section(html, "tiers")
    assert "37,037" not in html
    assert "Shows signs, involuntary under 25 about 37,000 USD" in _section(html, "risk")
    assert "Save offer under 25 about 12,000 USD" in _section(html, "risk")
    assert "Luxembourg" not in html
    assert "LU USD under 25 about 4,400 USD – – –" in _section(html, "markets")
    assert "No revenue under 25 0.00 USD" in _section(html, "tiers")


def test_no_id_of_a_customer_or_of_anything_else_at_stripe_or_mavera_occurs(lake: Lake) -> None:
    _write(lake)
    assert not re.search(r"cus_|sub_|prod_|gen_secret|ch_[0-9]", page(_facts(lake)))


def test_what_a_model_wrote_stays_text(lake: Lake) -> None:
    _write(lake)
    html = page(_facts(lake))
    read = _Reader(html)
    names = {tag for tag, _ in read.tags}
    assert not names & {"script", "img", "iframe", "object", "embed", "form", "base", "audio", "video"}
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in read.text
    assert "{{ 7 * 7 }}" in read.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", html)
    assert "[31m" not in html
    assert read.text.count("Generated by Mavera, unchecked") == 2
    assert "superseded text" not in html
    assert html.count("word ") < 2_000


def test_the_page_loads_nothing_and_links_only_to_itself(lake: Lake) -> None:
    _write(lake)
    html = page(_facts(lake))
    read = _Reader(html)
    for tag, attributes in read.tags:
        assert not {"src", "srcset", "data", "action", "poster", "background"} & attributes.keys(), tag
        assert str(attributes.get("href", "#")).startswith("#"), tag
    assert "@import" not in html
    assert "url(" not in html
    (policy,) = [
        attributes["content"]
        for tag, attributes in read.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert str(policy).startswith("default-src 'none'")
    anchors = {str(attributes["href"])[1:] for tag, attributes in read.tags if tag == "a"}
    assert anchors <= {attributes["id"] for _, attributes in read.tags if "id" in attributes}


def test_pictures_have_words_and_tables_have_headers(lake: Lake) -> None:
    _write(lake)
    read = _Reader(page(_facts(lake)))
    pictures = [attributes for tag, attributes in read.tags if tag == "svg"]
    assert all(attributes.get("aria-label") or attributes.get("aria-hidden") == "true" for attributes in pictures)
    assert all("scope" in attributes for tag, attributes in read.tags if tag == "th")
    assert ("html", {"lang": "en"}) in read.tags


def test_the_same_tables_make_the_same_page(lake: Lake) -> None:
    _write(lake)
    assert page(_facts(lake)) == page(_facts(lake))


@pytest.mark.parametrize("table", sorted({table for needed in PARTS.values() for table in needed}))
def test_without_a_table_its_parts_name_it_and_the_rest_is_there(lake: Lake, table: str) -> None:
    _write(lake, without=(table,))
    facts = _facts(lake)
    html = page(facts)
    parts = {part for part, needed in PARTS.items() if table in needed}
    assert facts.missing == {part: [table] for part in parts}
    if parts - {"headline", "rules"}:
        assert f"Not made yet: {table} ." in _Reader(html).text
    assert all(getattr(facts, part) is not None for part in PARTS.keys() - parts)


def test_tables_without_rows_make_a_page(lake: Lake) -> None:
    for name, schema in TABLES.items():
        lake.replace(name, schema.empty_table(), schema)
    facts = _facts(lake)
    assert facts.headline is None
    assert facts.missing == {}
    text = _Reader(page(facts)).text
    assert "No month has ended with revenue yet." in text
    assert "The latest plan has nothing to do." in text
    assert "None yet." in text


def test_a_month_in_which_a_tier_had_nobody_has_a_dash_there(lake: Lake) -> None:
    _write(lake)
    facts = _facts(lake)
    assert facts.tiers is not None
    first = min(point.at for point in facts.tiers.months)
    kept = [point for point in facts.tiers.months if (point.at, point.tier) != (first, "smb")]
    assert len(kept) < len(facts.tiers.months)
    html = page(facts.model_copy(update={"tiers": facts.tiers.model_copy(update={"months": kept})}))
    assert "52,000.00 USD – Apr 2026" in _section(html, "tiers")


def test_outcomes_of_another_plan_are_not_shown_beside_this_one(lake: Lake) -> None:
    _write(lake)
    schema = MAVERA_TABLES["outcomes"]
    other = pa.Table.from_pylist(
        [{**row, "plan_hash": "another"} for row in lake.read("mavera/outcomes").to_pylist()], schema=schema
    )
    lake.replace("mavera/outcomes", other, schema)
    assert "Not carried out yet." in _section(page(_facts(lake)), "plan")


def test_without_a_budget_the_page_says_so(lake: Lake) -> None:
    _write(lake)
    assert "no monthly budget is set" in _section(page(_facts(lake, cap=None)), "spend")


def test_an_empty_lake_is_refused_with_what_to_do(lake: Lake) -> None:
    with pytest.raises(NothingToReportError, match="run `stripe-mavera run` first"):
        _facts(lake)


def test_the_command_writes_the_file_whole_and_says_where(
    settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = settings_for()
    _write(Lake(settings.lake), without=("segments/markets",))
    answer = write_report(settings, out=None, now=NOW)
    target = Path(answer.payload["report"])
    assert target == settings.home / "report.html"
    assert target.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [path.name for path in target.parent.iterdir() if "report" in path.name] == ["report.html"]
    assert answer.exit is Exit.DONE
    assert answer.payload["missing_tables"] == ["segments/markets"]
    assert answer.payload["headline"]["mrr_minor"] == 90_537_01
    other = write_report(settings, out=tmp_path / "new" / "page.html", now=NOW)
    assert Path(other.payload["report"]) == tmp_path / "new" / "page.html"
