"""What the operator decides about paid work: whose it is, prices, caps, waits, and when a change is worth paying.

Here: typed choices and their bounds. Not here: where they are set (the settings) and the rules that use them.
Prices are the upper ends of Mavera's price list; a PATCH has no stated price and is reserved like a creation.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Caps", "Identity", "Kind", "Materiality", "Mode", "Policy", "Prices"]


class Kind(StrEnum):
    """What a ledger row is about. An update is a row of its own, as it may cost as much as a creation."""

    PERSONA = "persona"
    PERSONA_UPDATE = "persona_update"
    BRAND_VOICE = "brand_voice"
    GENERATION = "generation"
    CASE_STUDY = "case_study"
    COPY_FIX = "copy_fix"


class Mode(StrEnum):
    """What may be done about a kind; `mirror` also archives what its segments no longer hold."""

    UPSERT = "upsert"
    CREATE_ONLY = "create_only"
    UPDATE_ONLY = "update_only"
    MIRROR = "mirror"


class _Choice(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Identity(_Choice):
    """Whose objects these are; tokens follow from it, so it must not change while the objects live."""

    environment: Annotated[str, Field(min_length=1, max_length=40)]
    stripe_account: Annotated[str, Field(min_length=1, max_length=100)]
    workspace: Annotated[str, Field(min_length=1, max_length=100)] = "default"


class Prices(_Choice):
    """Worst price of one call, in credits."""

    version: str = "2026-11"
    persona: int = Field(300, ge=0)
    persona_update: int = Field(300, ge=0)
    brand_voice: int = Field(50, ge=0)
    generation: int = Field(30, ge=0)
    case_study: int = Field(75, ge=0)
    copy_fix: int = Field(5, ge=0)

    def of(self, kind: Kind) -> int:
        """The worst price of one call of this kind."""
        return int(getattr(self, kind.value))


class Caps(_Choice):
    """Most credits that may be spent or reserved; None sets no bound of its own. Days and months are UTC."""

    per_run: int | None = Field(None, ge=0)
    per_day: int | None = Field(None, ge=0)
    per_month: int | None = Field(None, ge=0)
    left: int | None = Field(None, exclude=True, description="what the account has for this run; no choice")


class Materiality(_Choice):
    """Changes below these bounds are not worth a call; wording of templates and enums always is."""

    relative_percent: int = Field(10, ge=0, description="a count or an amount must move by so many percent")
    points: int = Field(5, ge=0, description="a share or a rate must move by so many points")


class Policy(_Choice):
    """All choices. Durations are seconds, credits are Mavera credits."""

    version: str = "1"
    scheme: str = Field("v1", description="version of the segment scheme; a new one creates objects anew")
    k: int = Field(25, ge=11, description="smallest group whose numbers leave; recorded with each plan")
    prices: Prices = Prices()
    caps: Caps = Caps()
    materiality: Materiality = Materiality()
    auto_approve_credits: int = Field(0, ge=0)
    case_studies_consented: bool = False
    modes: dict[Kind, Mode] = Field(default_factory=dict, description="by kind; upsert where not named")
    archive_absent_markets: bool = True
    archive_after_refreshes: int = Field(2, ge=1)
    shrink_percent: int = Field(50, ge=1, le=100, description="a fall in customers beyond it holds the plan")
    auto_resend_after_settle: bool = Field(
        False,
        description="send again when look-up and usage agree that nothing was made; with it a second object can "
        "appear if Mavera commits later, or hides it longer, than the settle window",
    )
    allow_unknown_balance: bool = False
    deadline_seconds: float = Field(120, gt=0)
    mave_deadline_seconds: float = Field(180, gt=0)
    settle_seconds: float = Field(180, gt=0)
    mave_settle_seconds: float = Field(300, gt=0)
    send_within_seconds: float = Field(5, gt=0)
    claim_seconds: float = Field(15, gt=0)
    await_unknown: bool = Field(True, description="apply waits until its unknown outcomes have settled")
    await_results_seconds: float = Field(120, ge=0, description="how long texts made in the background are polled")
    poll_seconds: float = Field(2, gt=0)
    attempts: int = Field(4, ge=1, description="sends of one row in one run, when nothing ran (429, not sent)")
    backoff_seconds: float = Field(1, gt=0)
    concurrency: int = Field(64, ge=1, description="calls in flight; a call of 6 s at 600 a minute needs 60")
    mave_in_flight: int = Field(10, ge=1, le=10)

    @model_validator(mode="after")
    def _settle_after_the_deadline(self) -> Self:
        for deadline, settle in (
            (self.deadline_seconds, self.settle_seconds),
            (self.mave_deadline_seconds, self.mave_settle_seconds),
        ):
            if settle < deadline:
                raise ValueError(f"the settle window ({settle} s) must not end before the deadline ({deadline} s)")
        return self

    def deadline(self, kind: Kind) -> float:
        """Total time of one call."""
        return self.mave_deadline_seconds if kind is Kind.CASE_STUDY else self.deadline_seconds

    def settle(self, kind: Kind) -> float:
        """Time after a send from which its object is visible, if there is one."""
        return self.mave_settle_seconds if kind is Kind.CASE_STUDY else self.settle_seconds

    def mode(self, kind: Kind) -> Mode:
        """What may be done about a kind."""
        return self.modes.get(kind, Mode.UPSERT)
