"""Churn prediction: the model and its record, its back-test, the chances, and what is at stake by cohort.

Rules are imported when a step runs, as the code location loads in every run process.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from assets.metadata import bar_chart, counted, inline_svg
from assets.step import RATES, Step, segment

if TYPE_CHECKING:
    from segments.prediction import Forecast

__all__ = ["churn_cohorts", "churn_prediction"]

_RAW: Final = (
    "stripe/subscriptions",
    "stripe/subscription_items",
    "stripe/customers",
    "stripe/invoices",
    "stripe/charges",
    "stripe/payment_methods",
    "stripe/disputes",
)
_REVENUE: Final = "segments/subscription_mrr"
_LARGEST_EFFECTS: Final = 12
_BEATS_POINTS: Final = dg.AssetCheckSpec(
    "model_beats_points",
    asset=["segments", "churn_backtest"],
    description="In the months that were tested, the model's Brier score is no worse than the points'.",
)


@segment("churn_model", "churn_backtest", "churn_probability", reads=(*_RAW, _REVENUE), checks=(_BEATS_POINTS,))
def churn_prediction(step: Step) -> Iterator[dg.MaterializeResult]:
    """Fit on what is known, test on the months that have ended, forecast the next 30 and 90 days."""
    from segments.prediction import calibration_svg, churn_forecast, gains_svg

    made = churn_forecast(
        **step.tables(*_RAW),
        subscription_mrr=step.whole(_REVENUE)["subscription_mrr"],
        as_of=step.as_of,
        earlier=step.before(),
    )
    latest = made.tested.splits[-1] if made.tested.splits else None
    yield step.made(
        made.churn_model,
        name="churn_model",
        method=made.model.method,
        fit="kept: nothing it rests on has changed" if made.kept else "new",
        fallback=made.model.fallback or None,
        ends=made.model.events,
        observed=f"{made.model.first_day} to {made.model.last_day}",
        kinds_from=made.model.kinds_from,
        largest_effects=_effects(made),
    )
    yield step.made(
        made.churn_backtest,
        name="churn_backtest",
        checks=(_verdict(made),),
        figures=_figures(made),
        calibration=inline_svg(calibration_svg(latest)) if latest else None,
        gains=inline_svg(gains_svg(latest)) if latest else None,
        **_numbers(made),
    )
    yield step.made(
        made.churn_probability,
        name="churn_probability",
        chart=bar_chart(counted(made.churn_probability, "state")),
        expected_ends_30d=round(sum(made.churn_probability["p_30d"].to_pylist()), 1),
        expected_ends_90d=round(sum(made.churn_probability["p_90d"].to_pylist()), 1),
        method=made.model.method,
    )


@segment(
    "churn_cohorts",
    reads=(
        "segments/churn_probability",
        "segments/churn_risk",
        "segments/mrr_tiers",
        "segments/customer_mrr_months",
        RATES,
    ),
)
def churn_cohorts(step: Step) -> dg.MaterializeResult:
    """Expected MRR at risk and MRR lost by retention cohort: what a message could be worth."""
    from segments.prediction import churn_cohorts as rule

    table = rule(
        **step.whole(
            "segments/churn_probability",
            "segments/churn_risk",
            "segments/mrr_tiers",
            "segments/customer_mrr_months",
        ),
        rates=step.rates,
        reporting_currency=step.reporting_currency,
        as_of=step.as_of,
    )
    stakes = dict(zip(table["segment_key"].to_pylist(), table["at_stake_minor"].to_pylist(), strict=True))
    return step.made(
        table,
        chart=bar_chart({key.removeprefix("retention:"): value for key, value in stakes.items()}),
        at_stake_minor=sum(stakes.values()),
        reporting_currency=step.reporting_currency,
    )


def _verdict(made: "Forecast") -> dg.AssetCheckResult:
    tested = made.tested
    return dg.AssetCheckResult(
        check_name=_BEATS_POINTS.name,
        asset_key=_BEATS_POINTS.asset_key,
        passed=tested.better_than_baseline,
        # The chances come from the points then, so that nothing is wrong downstream: worth a look, no more.
        severity=dg.AssetCheckSeverity.WARN,
        description=made.model.fallback or f"better in {len(tested.splits)} months that were tested",
        metadata={"months": len(tested.splits), **_numbers(made)},
    )


def _numbers(made: "Forecast") -> dict[str, Any]:
    """Figures of the latest month for charts over time; none where nothing was tested."""
    if not made.tested.splits:
        return {}
    split = made.tested.splits[-1]
    ours, points = split.overall, split.baseline[0]
    numbers = {
        "auc": ours.auc,
        "brier": ours.brier,
        "brier_points": points.brier,
        "brier_constant": ours.brier_constant,
        "lift_10": ours.lift_10,
        "calibration_slope": ours.calibration_slope,
    }
    return {name: round(value, 4) for name, value in numbers.items() if value is not None}


def _figures(made: "Forecast") -> dg.MarkdownMetadataValue | None:
    """The latest month by interval, beside the points."""
    if not made.tested.splits:
        return None
    split = made.tested.splits[-1]
    lines = ["| forecast | interval | n | ends | AUC | Brier | lift |", "|---|---|---|---|---|---|---|"]
    for name, figures in ((split.method, split.scores), ("points", split.baseline)):
        for one in figures:
            shown = [f"{value:.3g}" if value is not None else "" for value in (one.auc, one.brier, one.lift_10)]
            lines.append(f"| {name} | {one.group} | {one.n} | {one.events} | {' | '.join(shown)} |")
    return dg.MetadataValue.md("\n".join(lines))


def _effects(made: "Forecast") -> dg.MarkdownMetadataValue | None:
    """The largest effects by odds ratio, without plans and countries, which are somebody's."""
    held = made.model.coefficients()
    held = held[~held.feature.str.startswith(("baseline", "plan:", "intercept"))]
    if held.empty:
        return None
    held = held.reindex(held.coefficient.abs().sort_values(ascending=False).index).head(_LARGEST_EFFECTS)
    lines = ["| cause | feature | odds ratio |", "|---|---|---|"]
    lines += [f"| {row.cause} | {row.feature} | {row.odds_ratio:.2f} |" for row in held.itertuples()]
    return dg.MetadataValue.md("\n".join(lines))
