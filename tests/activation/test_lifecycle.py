"""Personas live as long as their segments: updated, asleep, archived, woken, never made twice, never deleted."""

import json
from typing import Any

import pytest

from activation.account import Account
from activation.apply import apply
from activation.briefs import Suppressed
from activation.held import held, resolve_held
from activation.plan import build_plan
from tests.activation.kit import Bench, a_source, brand_voice, market, quick_policy, tier


def _refresh(bench: Bench, briefs: list[Any], version: int, *, merged: str | None = None, **source: Any) -> Any:
    """One refresh on one state of the data."""
    cells = [Suppressed(segment_key="market:country:DE:eur", reason="fewer than 25", merged_into=merged)]

    async def both(account: Account) -> Any:
        values = {"versions": {"segments/markets": version}, **source}
        plan = await build_plan(account, briefs, source=a_source(**values), suppressed=cells if merged else ())
        return await apply(account, plan, run_id=f"run-{version}", actor="test")

    return bench.run(both)


def _personas(report: Any) -> dict[str, dict[str, Any]]:
    return {row["segment_key"]: row for row in report.tables["personas"].to_pylist()}


def test_a_market_that_falls_away_sleeps_then_is_archived_into_the_group_that_holds_its_customers() -> None:
    bench = Bench()
    region = market(country=None, region="Western Europe", customers=500)
    _refresh(bench, [market("DE"), tier()], 1)
    first = _refresh(bench, [region, tier()], 2, merged="market:region:western-europe:eur")
    assert _personas(first)["market:country:DE:eur"]["status"] == "dormant"
    second = _refresh(bench, [region, tier()], 3, merged="market:region:western-europe:eur")
    archived = _personas(second)["market:country:DE:eur"]
    assert (archived["status"], archived["successor"]) == ("archived", "market:region:western-europe:eur")
    assert [request.method for request in bench.paid_calls()].count("DELETE") == 0


def test_a_second_run_on_the_same_data_does_not_count_as_another_refresh() -> None:
    bench = Bench()
    _refresh(bench, [market("DE"), tier()], 1)
    _refresh(bench, [tier()], 2)
    again = _refresh(bench, [tier()], 2)
    assert _personas(again)["market:country:DE:eur"]["status"] == "dormant"
    assert again.counts == {"unchanged": 2}


def test_a_segment_that_returns_wakes_its_persona_and_makes_no_second_one() -> None:
    bench = Bench()
    for version, briefs in enumerate([[market("DE"), tier()], [tier()], [tier()]]):
        _refresh(bench, briefs, version)
    back = _refresh(bench, [market("DE", customers=700), tier()], 4)
    woken = _personas(back)["market:country:DE:eur"]
    assert (woken["status"], woken["version"]) == ("active", 2)
    assert [request.method for request in bench.paid_calls()] == ["POST", "POST", "PATCH"]
    assert len(bench.created()) == 2


def test_a_segment_that_returns_unchanged_wakes_for_free() -> None:
    bench = Bench()
    for version, briefs in enumerate([[market("DE"), tier()], [tier()], [market("DE"), tier()]]):
        last = _refresh(bench, briefs, version)
    assert _personas(last)["market:country:DE:eur"]["status"] == "active"
    assert [request.method for request in bench.paid_calls()] == ["POST", "POST"]


@pytest.mark.parametrize(
    ("briefs", "source", "reason"),
    [
        ([], {}, "no brief of any segment"),
        ([brand_voice()], {}, "no brief of any segment"),
        ([tier()], {"customers": 400}, "shrank by more than 50 percent"),
    ],
    ids=["no briefs", "only the operator's voice", "a sudden fall"],
)
def test_a_source_that_cannot_be_trusted_archives_nothing_and_asks_a_person(
    briefs: list[Any], source: dict[str, Any], reason: str
) -> None:
    bench = Bench()
    _refresh(bench, [market("DE"), tier(), brand_voice()], 1)
    report = _refresh(bench, briefs, 2, **source)
    assert not report.approval.approved
    assert reason in report.approval.reason
    assert {row["status"] for row in _personas(report).values()} == {"active"}


def test_a_tier_below_k_keeps_its_persona_without_any_number() -> None:
    bench = Bench()
    _refresh(bench, [tier("enterprise", customers=30, mrr_minor=420_000_000)], 1)
    small = {"kind": "tier", "tier": "enterprise", "currency": "usd", "fewer_than": 25}
    report = _refresh(bench, [small], 2)
    assert [row.operation.action for row in report.rows] == ["update"]
    sent = json.loads(bench.paid_calls()[-1].content)
    assert sent["description"] == "A group of fewer than 25 customers in the enterprise tier."


def test_segments_that_are_cut_anew_are_new_priced_objects_and_supersede_the_old_ones() -> None:
    bench = Bench()
    _refresh(bench, [tier()], 1)
    bench.policy = quick_policy(scheme="v2")
    report = _refresh(bench, [tier()], 2)
    rows = {
        (row["spec_version"], row["status"], row["successor"]) for row in report.tables["personas"].to_pylist()
    }
    assert rows == {("v1", "superseded", "tier:mid_market"), ("v2", "active", None)}
    assert len(bench.created()) == 2


def test_a_persona_renamed_by_hand_keeps_its_id_and_the_next_update_puts_the_token_back() -> None:
    bench = Bench()
    _refresh(bench, [tier()], 1)
    persona = bench.created()[0]

    async def rename(account: Account) -> None:
        await account.mavera.write_client(timeout_seconds=5).patch(
            f"personas/{persona['id']}", json={"name": "Our best customers"}
        )

    bench.run(rename)
    assert "renamed by hand" in bench.plan([tier()]).operations[0].reason
    _refresh(bench, [tier(customers=900)], 2)
    assert json.loads(bench.paid_calls()[-1].content)["name"] == persona["name"]
    assert len(bench.created()) == 1


def test_a_persona_that_someone_deleted_is_held_until_a_person_releases_it() -> None:
    bench = Bench()
    _refresh(bench, [tier()], 1)
    persona = bench.created()[0]["id"]

    async def delete(account: Account) -> None:
        await account.mavera.write_client(timeout_seconds=5).delete(f"personas/{persona}")

    bench.run(delete)
    report = _refresh(bench, [tier()], 2)
    assert [(row.ending, "deleted" in row.reason) for row in report.rows] == [("held", True)]

    async def release(account: Account) -> str:
        return await resolve_held(account, "persona/tier:mid_market", "release", actor="ada", run_id="cli")

    assert "makes it anew" in bench.run(release)
    assert _refresh(bench, [tier()], 3).counts == {"done": 1}


def test_what_mavera_dropped_is_not_patched_for_ever() -> None:
    bench = Bench(options={"unknown_field": "drop", "treat_as_unknown": ["locale_scope", "local_keywords"]})
    _refresh(bench, [market("DE")], 1)
    _refresh(bench, [market("DE", customers=900)], 2)
    calls = len(bench.paid_calls())
    assert _refresh(bench, [market("DE", customers=900)], 3).counts == {"unchanged": 1}
    assert len(bench.paid_calls()) == calls


def test_an_update_is_counted_at_what_the_account_says_it_cost() -> None:
    for price in (0, 300):
        bench = Bench(options={"persona_update_price": price})
        _refresh(bench, [tier()], 1)
        report = _refresh(bench, [tier(customers=900)], 2)
        assert report.credits_counted == price


def test_base_personas_are_never_touched() -> None:
    bench = Bench()
    preloaded = [one for one in bench.committed()["objects"] if one["operation"] == "preload"]
    _refresh(bench, [tier(), market("DE")], 1)
    after = [one for one in bench.committed()["objects"] if one["operation"] == "preload"]
    assert after == preloaded
    assert bench.run(_held) == []


async def _held(account: Account) -> list[Any]:
    return held(account)
