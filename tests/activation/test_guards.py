"""Which keys may meet which targets: the whole matrix, refused with the setting's name before any request."""

from typing import Any

import pytest

from activation.guards import GuardError, Targets, check_targets, stripe_key_kind

_APPLY = Targets(may_apply=True)
_COMPARE = Targets(may_apply=True, compare_usage=True)
_NOTHING_LEAVES = Targets(may_apply=True, nothing_leaves=True)


@pytest.mark.parametrize(
    ("stripe_key", "mavera", "expected"),
    [
        ("none", "stand_in", _APPLY),
        ("none", "real_sandbox", _COMPARE),
        ("rk_test", "stand_in", _APPLY),
        ("rk_test", "real_sandbox", _COMPARE),
        ("rk_live", "stand_in", _NOTHING_LEAVES),
        ("rk_live", "real", _APPLY),
    ],
)
def test_permitted_combinations(stripe_key: Any, mavera: Any, expected: Targets) -> None:
    assert check_targets(stripe_key=stripe_key, stripe_is_loopback=False, mavera=mavera) == expected


@pytest.mark.parametrize("mavera", ["stand_in", "real_sandbox"])
def test_an_unrestricted_test_key_runs_with_a_warning(mavera: Any) -> None:
    targets = check_targets(stripe_key="sk_test", stripe_is_loopback=False, mavera=mavera)
    assert targets.may_apply
    assert "STRIPE_API_KEY" in (targets.warning or "")


def test_a_simulated_business_is_planned_for_the_real_mavera_and_never_applied() -> None:
    assert not check_targets(stripe_key="none", stripe_is_loopback=True, mavera="real").may_apply


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        ({"stripe_key": "rk_test", "mavera": "real"}, "MAVERA_SANDBOX"),
        ({"stripe_key": "sk_test", "mavera": "real"}, "MAVERA_SANDBOX"),
        ({"stripe_key": "rk_live", "mavera": "real_sandbox"}, "MAVERA_SANDBOX"),
        ({"stripe_key": "sk_live", "mavera": "real"}, "STRIPE_ALLOW_UNRESTRICTED_KEY"),
        ({"stripe_key": "sk_live", "mavera": "stand_in"}, "STRIPE_ALLOW_UNRESTRICTED_KEY"),
        ({"stripe_key": "sk_live", "mavera": "real_sandbox", "allow_unrestricted_key": True}, "MAVERA_SANDBOX"),
        ({"stripe_key": "rk_live", "mavera": "real", "stripe_is_loopback": True}, "STRIPE_API_BASE"),
        ({"stripe_key": "sk_live", "mavera": "stand_in", "stripe_is_loopback": True}, "STRIPE_API_BASE"),
        ({"stripe_key": "other", "mavera": "stand_in"}, "STRIPE_API_KEY"),
        ({"stripe_key": "other", "mavera": "real"}, "STRIPE_API_KEY"),
        ({"stripe_key": "rk_live", "mavera": "real", "livemode": False}, "STRIPE_API_KEY"),
        ({"stripe_key": "rk_test", "mavera": "stand_in", "livemode": True}, "STRIPE_API_KEY"),
    ],
)
def test_refused_combinations_name_the_setting(values: dict[str, Any], setting: str) -> None:
    with pytest.raises(GuardError, match=setting):
        check_targets(**{"stripe_is_loopback": False, **values})


@pytest.mark.parametrize("mavera", ["stand_in", "real"])
def test_an_unrestricted_live_key_runs_only_where_the_operator_allows_it(mavera: Any) -> None:
    targets = check_targets(
        stripe_key="sk_live", stripe_is_loopback=False, mavera=mavera, allow_unrestricted_key=True
    )
    assert targets.may_apply


@pytest.mark.parametrize("livemode", [True, False])
@pytest.mark.parametrize("stripe_key", ["rk_live", "rk_test"])
def test_objects_must_be_of_the_keys_mode(stripe_key: Any, livemode: bool) -> None:
    values: dict[str, Any] = {"stripe_key": stripe_key, "stripe_is_loopback": False, "mavera": "stand_in"}
    if livemode == (stripe_key == "rk_live"):
        check_targets(**values, livemode=livemode)
    else:
        with pytest.raises(GuardError):
            check_targets(**values, livemode=livemode)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (None, "none"),
        ("", "none"),
        ("rk_test_abc", "rk_test"),
        ("sk_test_abc", "sk_test"),
        ("rk_live_abc", "rk_live"),
        ("sk_live_abc", "sk_live"),
        ("pk_live_abc", "other"),
        ("whsec_abc", "other"),
        ("sk_liveabc", "other"),
        ("mvra_live_abc", "other"),
    ],
)
def test_the_kind_of_a_stripe_key(key: str | None, kind: str) -> None:
    assert stripe_key_kind(key) == kind
