"""What leaves of each family, under which key, and what is withheld and why."""

from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow.compute as pc
import pytest
from pydantic import TypeAdapter

from activation.briefs import Brief
from segments.cells import Population
from segments.release import Release
from segments.story_cells import band_of
from segments.thresholds import DisclosureThresholds, ReleaseThresholds, Thresholds
from tests.segments.business import (
    changed,
    customers,
    disputes,
    fields_of,
    members_of,
    release,
    tables,
    why,
)
from tests.segments.raw import segment

SMALL = "fewer than 25 customers"
FRANCE = {"country": "FR"}
ITALY = {"country": "IT", "region": "Southern Europe"}


def _fit_a_brief(found: Release) -> None:
    for cell in found.cells:
        fields = {**cell.fields, "original_copy": "Our copy."} if cell.kind == "copy_fix" else cell.fields
        brief: Any = TypeAdapter(Brief).validate_python(fields)
        assert brief.segment_key == cell.segment_key
        assert brief.kind == cell.kind


def test_every_family_fits_the_closed_form_of_its_brief() -> None:
    people = [
        *customers("a", 60, state="past_due", signals="dunning; past_due; coupon_ending"),
        *customers("b", 30, tier="mid_market", mrr=200_000, interval="year", growth=0.02, **FRANCE),
        *customers("c", 5, tier="enterprise", mrr=3_000_000, growth=0.05, **ITALY),
        *customers("d", 30, tier="none", mrr=0, previous_tier="smb", state="canceled", kind="voluntary"),
    ]
    found = release(
        people,
        disputes_by_reason=segment(
            "disputes_by_reason",
            disputes(disputes=30, copy_fixable_disputes=30),
            disputes(disputes=3, copy_fixable_disputes=3, reason="duplicate"),
        ),
    )
    _fit_a_brief(found)
    assert [cell.segment_key for cell in found.cells] == [
        "tier:enterprise",
        "tier:mid_market",
        "tier:smb",
        "market:country:DE:eur",
        "market:country:FR:eur",
        "retention:payment_recovery:smb",
        "retention:win_back:smb",
        "case_study:mid_market:team-plan:TO_50",
        "case_study:enterprise:team-plan:TO_100",
        "copy_fix:duplicate:team-plan",
        "copy_fix:subscription_canceled:team-plan",
    ]
    assert found.counts["tier"] == {"released": 3, "kept": 0, "suppressed": 0}


# Tiers


def test_tiers_leave_with_rounded_numbers_and_shares() -> None:
    people = [
        *customers("a", 101, mrr=10_123),
        *customers("b", 30, tier="mid_market", mrr=204_999, interval="year"),
    ]
    assert fields_of(release(people))["tier:smb"] == {
        "kind": "tier",
        "tier": "smb",
        "currency": "usd",
        "customers": 100,
        "median_mrr_minor": 10_000,
        "mrr_minor": 1_000_000,
        "share_percent": 14,
        "interval_mix": {"month": 100},
    }


def test_a_tier_under_k_keeps_its_cell_without_any_number_and_the_others_lose_their_shares() -> None:
    found = release([*customers("a", 40), *customers("b", 24, tier="enterprise", mrr=2_000_000)])
    fields = fields_of(found)
    assert fields["tier:enterprise"] == {
        "kind": "tier",
        "tier": "enterprise",
        "currency": "usd",
        "fewer_than": 25,
    }
    assert fields["tier:smb"]["customers"] == 40
    assert "share_percent" not in fields["tier:smb"]


def test_two_small_tiers_that_could_leave_together_leave_the_shares_alone() -> None:
    people = [
        *customers("a", 40),
        *customers("b", 20, tier="enterprise", mrr=2_000_000),
        *customers("c", 20, tier="mid_market", mrr=200_000),
    ]
    assert fields_of(release(people))["tier:smb"]["share_percent"] == 1


def test_a_tier_without_customers_has_no_cell() -> None:
    assert list(fields_of(release(customers("a", 40)))) == ["tier:smb", "market:country:DE:eur"]


def test_one_member_with_over_half_of_the_revenue_takes_all_amounts_of_the_tier_and_all_shares() -> None:
    people = [
        *customers("a", 30),
        *customers("b", 30, tier="enterprise", mrr=1_000_000),
        *customers("c", 1, tier="enterprise", mrr=40_000_000),
    ]
    fields = fields_of(release(people))
    assert fields["tier:enterprise"] == {
        "kind": "tier",
        "tier": "enterprise",
        "currency": "usd",
        "customers": 30,
        "interval_mix": {"month": 100},
    }
    assert "mrr_minor" in fields["tier:smb"]
    assert "share_percent" not in fields["tier:smb"]


def test_customers_who_are_billed_in_more_than_one_interval_count_as_other() -> None:
    people = [*customers("a", 30), *customers("b", 30, interval="week")]
    assert fields_of(release(people))["tier:smb"]["interval_mix"] == {"month": 50, "other": 50}


# Markets


def test_a_small_country_goes_into_its_region_and_a_small_region_into_other() -> None:
    people = [
        *customers("a", 30),
        *customers("b", 20, **FRANCE),
        *customers("c", 10, country="BE"),
        *customers("d", 15, **ITALY),
        *customers("e", 12, country="SE", region="Northern Europe"),
    ]
    found = release(people)
    markets = {key: cell["customers"] for key, cell in fields_of(found).items() if key.startswith("market")}
    assert markets == {
        "market:country:DE:eur": 30,
        "market:region:western-europe:eur": 30,
        "market:region:other:eur": 25,
    }
    assert why(found) == {
        "market:country:FR:eur": (SMALL, "market:region:western-europe:eur"),
        "market:country:BE:eur": (SMALL, "market:region:western-europe:eur"),
        "market:country:IT:eur": (SMALL, "market:region:other:eur"),
        "market:country:SE:eur": (SMALL, "market:region:other:eur"),
        "market:region:southern-europe:eur": (SMALL, "market:region:other:eur"),
        "market:region:northern-europe:eur": (SMALL, "market:region:other:eur"),
    }


def test_what_is_small_even_as_other_is_merged_into_nothing() -> None:
    found = release([*customers("a", 30), *customers("b", 20, **ITALY)])
    assert set(why(found).values()) == {(SMALL, None)}
    assert len(why(found)) == 3


def test_currencies_are_not_added_up() -> None:
    people = [*customers("a", 20, **FRANCE), *customers("b", 20, country="BE", currency="usd")]
    assert not [key for key in fields_of(release(people)) if key.startswith("market")]


def test_unknown_countries_and_customers_without_a_currency_never_leave() -> None:
    people = [
        *customers("a", 40, country="unknown", region="unknown"),
        *customers("b", 40, currency="none"),
    ]
    assert why(release(people)) == {
        "market:country:unknown:eur": ("country unknown", None),
        "market:country:DE:none": ("without a currency", None),
    }


def test_the_cap_keeps_the_markets_that_paid_most_and_countries_before_regions() -> None:
    people = [
        *customers("a", 30),
        *customers("b", 60, **FRANCE),
        *customers("c", 40, **ITALY),
        *customers("d", 24, country="BE"),
        *customers("e", 24, country="NL"),
    ]
    found = release(people, thresholds=Thresholds(release=ReleaseThresholds(markets=2)))
    assert [cell.segment_key for cell in found.cells if cell.kind == "market"] == [
        "market:country:FR:eur",
        "market:country:IT:eur",
    ]
    assert why(found)["market:country:DE:eur"] == ("beyond the cap", None)
    assert why(found)["market:region:western-europe:eur"] == ("beyond the cap", None)
    assert why(found)["market:country:BE:eur"] == (SMALL, None)


@pytest.mark.parametrize(
    ("row", "absent"),
    [
        pytest.param({"largest_paid_minor": 250_000}, {"paid_minor"}, id="who paid most paid over half"),
        pytest.param(
            {"paying_customers": 24}, {"paid_minor", "method_mix", "success_percent"}, id="fewer than k paid"
        ),
        pytest.param({"method_mix": '{"card": 0.9, "paypal": 0.1}'}, {"method_mix"}, id="few use a method"),
        pytest.param({"attempted": 0, "succeeded": 0}, {"success_percent"}, id="nothing was tried"),
        pytest.param({"paid_minor": -5}, {"paid_minor"}, id="more was refunded than paid"),
    ],
)
def test_figures_of_a_market_leave_only_where_enough_customers_stand_behind_them(
    row: dict[str, Any], absent: set[str]
) -> None:
    found = release(customers("a", 40), market_rows={("DE", "eur"): row})
    whole = {"kind", "country", "currency", "customers", "paid_minor", "method_mix", "success_percent"}
    assert set(fields_of(found)["market:country:DE:eur"]) == whole - absent


def test_a_customer_with_over_half_of_the_mrr_takes_the_amount_of_the_market() -> None:
    people = [*customers("a", 40), *customers("b", 1, mrr=900_000)]
    fields = fields_of(release(people))["market:country:DE:eur"]
    assert fields["customers"] == 40
    assert fields["success_percent"] == 90
    assert "paid_minor" not in fields


_UNPAID = {"paying_customers": 0, "paid_charges": 0, "paid_minor": 0, "method_mix": None, "succeeded": 0}


@pytest.mark.parametrize(
    ("belgium", "paid", "success"),
    [
        pytest.param({"attempted": 100, "succeeded": 50}, 600_000, 70, id="some failed"),
        pytest.param({"attempted": 100, **_UNPAID}, 400_000, 45, id="all failed"),
        pytest.param({"attempted": 0, **_UNPAID}, 400_000, 90, id="none was tried"),
    ],
)
def test_figures_of_folded_markets_are_added(belgium: dict[str, Any], paid: int, success: int) -> None:
    people = [
        *customers("a", 20, **FRANCE),
        *customers("b", 20, country="NL"),
        *customers("c", 20, country="BE"),
    ]
    rows = {
        ("FR", "eur"): {"attempted": 60, "succeeded": 60},
        ("NL", "eur"): {"attempted": 40, "succeeded": 30},
        ("BE", "eur"): belgium,
    }
    fields = fields_of(release(people, market_rows=rows))["market:region:western-europe:eur"]
    assert fields["region"] == "Western Europe"
    assert fields["paid_minor"] == paid
    assert fields["success_percent"] == success


# Retention


@pytest.mark.parametrize(
    ("options", "key"),
    [
        pytest.param({"state": "past_due"}, "retention:payment_recovery:smb", id="past due"),
        pytest.param(
            {"state": "canceled", "kind": "involuntary", "tier": "none", "previous_tier": "mid_market"},
            "retention:payment_recovery:mid_market",
            id="ended for a failed payment",
        ),
        pytest.param(
            {"state": "canceled", "kind": "voluntary", "tier": "none", "previous_tier": "enterprise"},
            "retention:win_back:enterprise",
            id="cancelled, in the tier before",
        ),
        pytest.param(
            {"state": "canceled", "kind": "voluntary", "tier": "none", "previous_tier": "smb", "since_days": 91},
            None,
            id="cancelled long ago",
        ),
        pytest.param(
            {"state": "canceled", "kind": "voluntary", "tier": "none"}, None, id="never in a tier with revenue"
        ),
        pytest.param({"state": "at_risk"}, "retention:save_offer:smb", id="at risk"),
        pytest.param({"state": "scheduled_cancel"}, "retention:save_offer:smb", id="cancellation scheduled"),
        pytest.param({"state": "healthy"}, None, id="healthy"),
    ],
)
def test_cohorts(options: dict[str, Any], key: str | None) -> None:
    found = release(customers("a", 30, **options))
    assert [cell.segment_key for cell in found.cells if cell.kind == "retention"] == ([key] if key else [])


def test_small_tiers_of_a_cohort_go_into_its_largest() -> None:
    people = [
        *customers("a", 20, state="at_risk"),
        *customers("b", 10, state="at_risk", tier="mid_market", mrr=200_000),
        *customers("c", 4, state="past_due"),
    ]
    found = release(people)
    assert fields_of(found)["retention:save_offer:smb"]["customers"] == 30
    assert why(found) == {
        "retention:save_offer:mid_market": (SMALL, "retention:save_offer:smb"),
        "retention:payment_recovery:smb": (f"{SMALL} in the whole cohort", None),
    }


def test_signals_are_those_of_enough_members_and_in_words_of_the_brief() -> None:
    people = [
        *customers("a", 20, state="at_risk", signals="no_retry_left; dunning; expansion; new_customer"),
        *customers("b", 12, state="at_risk", signals="too_expensive; paused"),
        *customers("c", 10, state="at_risk", signals="unused"),
    ]
    fields = fields_of(release(people))["retention:save_offer:smb"]
    assert fields["signals"] == ["failed_payment", "too_expensive", "other"]


def test_mrr_at_risk_does_not_leave_when_the_tier_less_the_cohort_is_a_few_customers() -> None:
    few = release([*customers("a", 40, state="at_risk"), *customers("b", 5)])
    many = release([*customers("a", 40, state="at_risk"), *customers("b", 30)])
    assert "mrr_at_risk_minor" not in fields_of(few)["retention:save_offer:smb"]
    assert fields_of(many)["retention:save_offer:smb"]["mrr_at_risk_minor"] == 400_000


# Case studies and copy fixes


@pytest.mark.parametrize(
    ("share", "band"),
    [(-0.5, "TO_20"), (0.199, "TO_20"), (0.2, "TO_50"), (0.5, "TO_100"), (1.0, "TO_200"), (2.0, "OVER_200")],
)
def test_bands_begin_at_their_bound(share: float, band: str) -> None:
    assert band_of(share) == band


def test_few_candidates_leave_as_fewer_than_k_and_very_few_go_into_another_band() -> None:
    people = [*customers("a", 5, growth=0.02), *customers("b", 1, growth=0.05), *customers("c", 30, growth=0.15)]
    found = release(people)
    fields = fields_of(found)
    assert fields["case_study:smb:team-plan:TO_50"] == {
        "kind": "case_study",
        "tier": "smb",
        "product": "team-plan",
        "growth_band": "20 to 50 percent",
        "period": "2026-05",
        "fewer_than": 25,
    }
    large = fields["case_study:smb:team-plan:OVER_200"]
    assert (large["customers"], large["months"], large["expansion_band"]) == (30, 14, "20 to 50 percent")
    assert why(found)["case_study:smb:team-plan:TO_100"] == (
        "fewer than 3 candidates",
        "case_study:smb:team-plan:OVER_200",
    )


def test_candidates_without_consent_product_name_or_tier_are_in_no_case_study() -> None:
    people = [
        *customers("a", 5, growth=0.02),
        *customers("b", 5, growth=0.02, product="prod_unnamed"),
        *customers("c", 5, growth=0.02, tier="unknown"),
    ]
    found = release(people)
    assert why(found)["case_study:smb:unnamed"] == ("no approved name for the product", None)
    assert why(found)["case_study:none:team-plan"] == ("no tier with revenue", None)
    agreed = release(people, consented=frozenset({"cus_a_0", "cus_a_1"}))
    assert why(agreed)["case_study:smb:team-plan:TO_50"] == ("fewer than 3 candidates", None)
    assert not [cell for cell in release(people, consented=frozenset()).cells if cell.kind == "case_study"]


def test_only_the_largest_case_studies_leave() -> None:
    people = [*customers("a", 5, growth=0.02), *customers("b", 4, growth=0.05), *customers("c", 3, growth=0.15)]
    found = release(people, thresholds=Thresholds(release=ReleaseThresholds(case_studies=2)))
    assert [cell.segment_key for cell in found.cells if cell.kind == "case_study"] == [
        "case_study:smb:team-plan:TO_50",
        "case_study:smb:team-plan:TO_100",
    ]
    assert why(found)["case_study:smb:team-plan:OVER_200"] == ("beyond the cap", None)


def _copy_fixes(*rows: dict[str, Any], **options: Any) -> Release:
    return release([], disputes_by_reason=segment("disputes_by_reason", *rows), **options)


def test_disputes_of_a_year_are_added_by_reason_and_product() -> None:
    rows = [
        disputes(disputes=28, copy_fixable_disputes=28, payments=400),
        disputes(disputes=9, copy_fixable_disputes=9, payments=200, month=date(2025, 6, 1)),
        disputes(disputes=50, copy_fixable_disputes=50, payments=99, month=date(2025, 5, 1)),
        disputes(reason="fraudulent", disputes=50, copy_fixable_disputes=0, payments=400),
    ]
    assert list(fields_of(_copy_fixes(*rows)).values()) == [
        {
            "kind": "copy_fix",
            "reason": "subscription_canceled",
            "product": "team-plan",
            "period": "2026-05",
            "disputes": 35,
            "rate_percent": 6,
        }
    ]


@pytest.mark.parametrize(
    ("rows", "size"),
    [
        pytest.param([{"copy_fixable_disputes": 7}], {"fewer_than": 25}, id="few disputes"),
        pytest.param([{"copy_fixable_disputes": 40, "customers": 12}], None, id="many disputes of few customers"),
        pytest.param(
            [{"copy_fixable_disputes": 20}, {"copy_fixable_disputes": 20, "month": date(2026, 3, 1)}],
            None,
            id="nobody says that each month's customers are others",
        ),
    ],
)
def test_numbers_of_disputes_need_k_customers(rows: list[dict[str, Any]], size: dict[str, int] | None) -> None:
    found = fields_of(_copy_fixes(*(disputes(**row) for row in rows)))
    sizes = [{name: cell[name] for name in ("disputes", "fewer_than") if name in cell} for cell in found.values()]
    assert sizes == ([] if size is None else [size])


def test_customers_behind_disputes_count_once_where_they_are_known() -> None:
    rows = [disputes(copy_fixable_disputes=20), disputes(copy_fixable_disputes=20, month=date(2026, 3, 1))]
    for known, released in ((24, False), (25, True)):
        disputers = segment("growth", *({"customer": f"cus_{number}"} for number in range(known))).select(
            ["customer"]
        )
        disputers = disputers.append_column("reason", [["subscription_canceled"] * known])
        disputers = disputers.append_column("product", [["prod_team"] * known])
        found = fields_of(_copy_fixes(*rows, disputers=disputers))
        assert [cell["disputes"] for cell in found.values()] == ([40] if released else [])


def test_disputes_of_an_unnamed_product_never_leave() -> None:
    found = _copy_fixes(disputes(copy_fixable_disputes=40, product="unknown"))
    assert why(found) == {"copy_fix:subscription_canceled:unnamed": ("no approved name for the product", None)}


# Successive releases


def test_nothing_changed_leaves_again_word_for_word() -> None:
    people = [*customers("a", 40, state="at_risk"), *customers("b", 40, **FRANCE)]
    first = release(people)
    second = release(people, last=first, days=1)
    assert fields_of(second) == fields_of(first)
    assert {cell.status for cell in second.cells} == {"released"}


def test_a_group_that_few_joined_is_kept_as_it_last_left() -> None:
    first = release(customers("a", 40))
    second = release([*customers("a", 40), *customers("b", 24, mrr=20_000)], last=first, days=40)
    assert fields_of(second) == fields_of(first)
    assert {cell.status for cell in second.cells} == {"kept"}
    assert second.released_cells["reason"].unique().to_pylist() == [f"differs from what left before by {SMALL}"]
    assert members_of(second) == members_of(first)


def test_small_changes_add_up_until_they_count() -> None:
    kept = first = release(customers("a", 40))
    for day in range(1, 5):
        kept = release(customers("a", 40 + 6 * day), last=kept, days=day)
        assert fields_of(kept) == fields_of(first)
    last = release(customers("a", 65), last=kept, days=5)
    assert fields_of(last)["tier:smb"]["customers"] == 65


def test_no_release_can_be_taken_from_one_long_before() -> None:
    first, last = customers("a", 50), release(customers("a", 50))
    for day, people in enumerate(([*first, *customers("b", 30)], [*first, *customers("c", 1)]), start=1):
        last = release(people, last=last, days=day)
    tier = fields_of(last)["tier:smb"]
    assert (tier["customers"], tier["mrr_minor"]) == (80, 800_000), "51 less 50 is the MRR of the newcomer"
    assert {cell.status for cell in last.cells} == {"kept"}
    grown = fields_of(release([*first, *customers("c", 25)], last=last, days=3))["tier:smb"]
    assert grown["customers"] == 75


def test_releases_of_one_time_are_told_apart() -> None:
    first = customers("a", 50)
    last = release(first)
    for people in ([*first, *customers("b", 30)], [*first, *customers("c", 1)]):
        last = release(people, last=last)
    assert fields_of(last)["tier:smb"]["customers"] == 80


def test_no_tier_can_be_taken_from_a_cohort_that_left_before() -> None:
    at_risk = customers("a", 100, state="at_risk")
    first = release([*at_risk, *customers("b", 40)])
    assert fields_of(first)["retention:save_offer:smb"]["mrr_at_risk_minor"] == 1_000_000
    second = release([*at_risk, *customers("b", 10)], last=first, days=1)
    assert fields_of(second)["tier:smb"] == fields_of(first)["tier:smb"], "its MRR less theirs is that of 10"
    assert fields_of(second)["retention:save_offer:smb"]["mrr_at_risk_minor"] == 1_000_000
    calm = release([*changed(at_risk, state="healthy"), *customers("b", 10)], last=second, days=2)
    assert fields_of(calm)["tier:smb"] == fields_of(first)["tier:smb"], "what left is known"


def test_a_cohort_without_mrr_keeps_no_tier_back() -> None:
    at_risk = customers("a", 100, state="at_risk")
    first = release([*at_risk, *customers("b", 10)])
    assert "mrr_at_risk_minor" not in fields_of(first)["retention:save_offer:smb"]
    gone = release([*at_risk, *customers("c", 38)], last=first, days=1)
    assert fields_of(gone)["tier:smb"]["customers"] == 140


def test_the_memory_holds_who_came_and_went_and_not_each_release() -> None:
    last = release(customers("a", 1_000))
    for day in range(1, 6):
        last = release(customers("a", 1_000 + 30 * day), last=last, days=day)
    rows = [row for row in last.released_members.to_pylist() if row["segment_key"] == "tier:smb"]
    assert len(rows) == 1_150
    assert {row["since"] for row in rows} == set(range(1, 7))
    fewer = customers("a", 1_150)[75:]
    last = release(fewer, last=last, days=6)
    rows = [row for row in last.released_members.to_pylist() if row["segment_key"] == "tier:smb"]
    assert [row["until"] for row in rows if row["until"] is not None] == [7] * 75
    same = release(fewer, last=last, days=7)
    assert same.released_members.equals(last.released_members)


def test_a_memory_of_last_releases_alone_is_understood() -> None:
    first = release([*customers("a", 100, state="at_risk"), *customers("b", 40)])
    members = first.released_members
    members = members.filter(pc.invert(members["with_mrr"])).select(["segment_key", "customer"])
    second = release(
        [*customers("a", 100, state="at_risk"), *customers("b", 10)],
        last=replace(first, released_members=members),
        days=1,
    )
    assert fields_of(second)["tier:smb"] == fields_of(first)["tier:smb"]


def test_a_market_that_falls_below_k_stops_leaving_at_once_and_its_region_does_not_give_it_back() -> None:
    rest = [*customers("b", 20, country="BE"), *customers("c", 10, country="NL")]
    region = "market:region:western-europe:eur"
    first = release([*customers("a", 26, **FRANCE), *rest])
    second = release([*customers("a", 24, **FRANCE), *rest], last=first, days=1)
    assert why(second)["market:country:FR:eur"] == (SMALL, region)
    assert fields_of(second)[region] == fields_of(first)[region]
    third = release([*customers("a", 27, **FRANCE), *rest], last=second, days=2)
    assert fields_of(third)["market:country:FR:eur"] == fields_of(first)["market:country:FR:eur"]


def test_a_tier_that_falls_below_k_and_returns_gets_its_old_words_back() -> None:
    first = release(customers("a", 30))
    second = release(customers("a", 20), last=first, days=1)
    assert fields_of(second) == {
        "tier:smb": {"kind": "tier", "tier": "smb", "currency": "usd", "fewer_than": 25},
    }
    assert members_of(second)["tier:smb"] == members_of(first)["tier:smb"]
    third = release(customers("a", 28), last=second, days=2)
    assert fields_of(third)["tier:smb"] == fields_of(first)["tier:smb"]


def test_no_share_leaves_beside_a_tier_that_is_kept() -> None:
    first = release([*customers("a", 100), *customers("b", 40, tier="mid_market", mrr=200_000)])
    people = [*customers("a", 140), *customers("b", 41, tier="mid_market", mrr=200_000)]
    fields = fields_of(release(people, last=first, days=1))
    assert fields["tier:mid_market"] == fields_of(first)["tier:mid_market"]
    assert "share_percent" in fields["tier:mid_market"]
    assert fields["tier:smb"]["customers"] == 140
    assert "share_percent" not in fields["tier:smb"]


def test_a_new_group_that_is_nearly_an_old_one_does_not_leave() -> None:
    first = release(customers("a", 40, **FRANCE))
    moved = [*changed(customers("a", 40, **FRANCE), **ITALY), *customers("b", 3, **ITALY)]
    second = release(moved, last=first, days=1)
    assert why(second)["market:country:IT:eur"] == (f"differs from what left before by {SMALL}", None)
    assert why(second)["market:country:FR:eur"] == ("nobody is in it now", None)


def test_nothing_is_kept_that_is_too_small_for_a_larger_k() -> None:
    first = release(customers("a", 30))
    stricter = Thresholds(disclosure=DisclosureThresholds(k=50))
    second = release(customers("a", 51), last=first, days=1, thresholds=stricter)
    assert second.counts["market"] == {"released": 0, "kept": 0, "suppressed": 1}


def test_tables_hold_one_row_for_each_group_and_the_members_of_those_with_numbers() -> None:
    found = release([*customers("a", 40), *customers("b", 3, tier="enterprise", mrr=2_000_000, **ITALY)])
    rows = {row["segment_key"]: row for row in found.released_cells.to_pylist()}
    assert {key: (row["status"], row["members"]) for key, row in rows.items()} == {
        "tier:smb": ("released", 40),
        "tier:enterprise": ("released", 3),
        "market:country:DE:eur": ("released", 40),
        "market:country:IT:eur": ("suppressed", 3),
        "market:region:southern-europe:eur": ("suppressed", 3),
        "market:region:other:eur": ("suppressed", 3),
    }
    assert {key: len(names) for key, names in members_of(found).items()} == {
        "tier:smb": 40,
        "market:country:DE:eur": 40,
    }
    assert rows["tier:enterprise"]["last_fields"] is None


def test_an_empty_account_releases_nothing() -> None:
    found = release([])
    assert (found.cells, found.suppressed, found.released_cells.num_rows) == ((), (), 0)


def test_customers_are_numbered_once_whatever_table_names_them() -> None:
    sources = tables(customers("a", 3))
    population = Population(sources["mrr_tiers"]["customer"], sources["customer_markets"]["customer"])
    assert len(population) == 3
    assert population.codes(segment("growth")["customer"]).size == 0
