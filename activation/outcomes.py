"""What one paid call came to, by the only question that matters: could something have been made?

Here: the verdict on an error of the Mavera door. Not here: what is done about it (`apply`), and how an answer is
read (`resources.mavera_wire`). A refusal is definite only where Mavera documents it and its error body came along;
all that could hide a commit is ambiguous.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from resources.mavera_wire import (
    AuthenticationError,
    DuplicateNameError,
    MaveraError,
    MissingScopeError,
    NotSentError,
    OutOfCreditsError,
    PermanentError,
    RateLimitedError,
    RateState,
)

__all__ = ["Outcome", "Verdict", "outcome_of"]


class Verdict(StrEnum):
    """Classes of outcomes."""

    DONE = "done"
    NOT_SENT = "not_sent"
    REJECTED = "rejected"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NO_CREDITS = "no_credits"
    NAME_TAKEN = "name_taken"
    RATE_LIMITED = "rate_limited"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One call's outcome; `reason` is one clean line, `body` the parsed answer of a success.

    `rate` is what the headers of an answer say: to be learnt from once the outcome is recorded.
    """

    verdict: Verdict
    reason: str = ""
    code: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    rate: RateState = field(default_factory=RateState)


def outcome_of(error: MaveraError) -> Outcome:
    """The outcome that an error of the door stands for."""
    verdict = _verdict(error)
    code = error.code or (f"http_{error.status}" if error.status else verdict.value)
    return Outcome(verdict=verdict, code=code[:60], reason=str(error))


def _verdict(error: MaveraError) -> Verdict:
    if isinstance(error, NotSentError):
        return Verdict.NOT_SENT
    if isinstance(error, RateLimitedError):
        return Verdict.RATE_LIMITED
    if isinstance(error, OutOfCreditsError):
        return Verdict.NO_CREDITS
    if not isinstance(error, PermanentError) or not error.confirmed:
        return Verdict.AMBIGUOUS
    if isinstance(error, DuplicateNameError):
        return Verdict.NAME_TAKEN
    if isinstance(error, AuthenticationError):
        return Verdict.UNAUTHORIZED
    return Verdict.FORBIDDEN if isinstance(error, MissingScopeError) else Verdict.REJECTED
