"""Kinds of secrets that the scanner does not know by itself: Stripe's test and signing keys, Mavera's keys."""

import re

from detect_secrets.plugins.base import RegexBasedDetector

__all__ = ["StripeAndMaveraDetector"]


class StripeAndMaveraDetector(RegexBasedDetector):
    """Keys as they are issued; the short made-up ones of tests and examples are none."""

    secret_type = "Stripe or Mavera secret"  # noqa: S105 - a name
    denylist = (
        re.compile(r"\b[rs]k_(?:test|live)_[0-9A-Za-z]{24,}"),
        re.compile(r"\bwhsec_[0-9A-Za-z+/=]{24,}"),
        re.compile(r"\b(?:mvra|mav)_[0-9A-Za-z_]{24,}"),
    )
