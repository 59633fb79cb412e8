"""Text that an operator wrote (tone, product copy, labels): the only free text that may leave.

Here: its cap and the scan that refuses what identifies a customer or opens a door: Stripe ids, e-mail addresses,
card and phone numbers, keys, control and invisible characters. Not here: where it comes from (configuration). The
scan is a net under a rule, not the rule: customer text has no way into these fields at all.
"""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

__all__ = ["OperatorLabel", "OperatorText", "Slug", "check_operator_text"]

_FORBIDDEN: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a key", re.compile(r"\b(?:(?:sk|rk|pk)_(?:live|test)_|whsec_|mvra_|mav_|Bearer\s)\S+", re.I)),
    (
        "a Stripe id",
        re.compile(
            r"\b(?:acct|card|ch|cs|cus|dp|du|evt|ii|il|in|pi|pm|po|price|prod|promo|py|re|req|seti|si|src|sub|tok|"
            r"txn|txr|tr)_[A-Za-z0-9]{6,}"
        ),
    ),
    ("an e-mail address", re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")),
    ("a long number", re.compile(r"(?<![\w.,])\+?\d(?:[ -]?\d){8,}(?![\w])")),
    (
        "control or invisible characters",
        re.compile(
            "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff"
            "\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
        ),
    ),
)


def check_operator_text(text: str) -> str:
    """The text in NFKC without blanks around it. Raises: ValueError that says what was found, never the text."""
    clean = unicodedata.normalize("NFKC", text).strip()
    for what, pattern in _FORBIDDEN:
        if pattern.search(clean):
            raise ValueError(f"operator text holds {what}, which may not leave")
    return clean


OperatorText = Annotated[
    str, StringConstraints(min_length=1, max_length=2_000), AfterValidator(check_operator_text)
]
"""Up to 2,000 characters from configuration."""
OperatorLabel = Annotated[str, StringConstraints(min_length=2, max_length=60), AfterValidator(check_operator_text)]
"""A short name from configuration."""
Slug = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$", max_length=40),
    AfterValidator(check_operator_text),
]
"""A product's or plan's name from the operator's approved map, never Stripe's text."""
