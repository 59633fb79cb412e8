"""Switches of the pretend Mavera: where its public descriptions disagree, each reading is one value here.

Every field is a switch. It is set when the stand-in starts, or while it runs by `POST /_sandbox/control`. The
first value of each enumeration is the default. Behaviour itself lives in the other `mavera_*` modules.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

__all__ = [
    "BrandVoices",
    "Callbacks",
    "ErrorFormat",
    "FaultRule",
    "Generations",
    "KeyRule",
    "MaveraOptions",
    "Paging",
    "Range",
    "Surface",
]

Surface = Literal["personas", "generations", "mave", "responses", "brand_voices", "usage"]
Scope = Literal["personas:write", "generations:write", "brand-voices:write"]
ErrorFormat = Literal["json", "html", "empty", "json_200"]


class _Switches(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(_Switches):
    """A closed interval; the value in it follows from seed and request, never from the order of calls."""

    low: float = Field(ge=0)
    high: float = Field(ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high < self.low:
            raise ValueError(f"the upper end {self.high} is below the lower end {self.low}")
        return self

    def at(self, unit: float) -> float:
        """The point at `unit` (0 to 1) of the way from low to high."""
        return self.low + (self.high - self.low) * unit


class KeyRule(_Switches):
    """What one bearer key may do. Only listed keys are known while scopes are enforced."""

    scopes: frozenset[Scope] = frozenset()
    status: Literal["active", "revoked", "expired"] = "active"
    credits: NonNegativeInt | None = Field(default=None, description="monthly credits; the common value if absent")
    requests_per_minute: PositiveInt | None = Field(default=None, description="the common value if absent")


class FaultRule(_Switches):
    """One fault. Without `nth` and `rate` it strikes every matching call, at most `times` of them.

    Before the commit: `lost_request` (connection cut), `error_before`. After it: `lost_answer` (connection
    cut), `error_after`, and the malformed answers `redirect`, `html`, `empty`, `no_id`, `wrong_types`,
    `truncated`, `oversized` (10 MB) and `gzip_bomb`. `late_commit` cuts the connection and commits
    `delay_seconds` later.
    """

    operation: str = Field(default="*", description="operationId of the contract, or * for all")
    kind: Literal[
        "lost_answer",
        "error_before",
        "error_after",
        "lost_request",
        "late_commit",
        "redirect",
        "html",
        "empty",
        "no_id",
        "wrong_types",
        "truncated",
        "oversized",
        "gzip_bomb",
    ]
    nth: frozenset[PositiveInt] | None = Field(default=None, description="numbers of the matching calls, from 1")
    rate: float | None = Field(default=None, ge=0, le=1)
    times: PositiveInt | None = None
    status: int = Field(default=500, ge=300, le=599)
    error_format: ErrorFormat | None = Field(default=None, description="the common format if absent")
    delay_seconds: float = Field(default=0, ge=0)


class Paging(_Switches):
    """How lists are cut into pages."""

    style: Literal["offset", "cursor", "none"] = "offset"
    default_limit: PositiveInt = Field(default=50, description="50, or 20 in another public reading")
    ignore_offset: bool = False
    ignore_search: bool = Field(default=False, description="name and text filters are ignored")
    insert_between_pages: bool = Field(default=False, description="a new item appears after each first page")
    persona_key: Literal["data", "personas"] = "data"


class BrandVoices(_Switches):
    """Brand voices are built in the background: pending for a third of the time, then generating."""

    outcome: Literal["completed", "failed", "stuck"] = "completed"
    vocabulary: Literal["reference", "upper"] = Field(default="reference", description="upper: PENDING, READY")
    seconds: float = Field(default=1.0, ge=0)
    show_usage: bool = False


class Generations(_Switches):
    """Generations answer with the text at once, or with 202 and the text later."""

    timing: Literal["sync", "async"] = "sync"
    outcome: Literal["completed", "failed", "stuck"] = "completed"
    seconds: float = Field(default=1.0, ge=0, description="asynchronous: time until the text is there")
    shape: Literal["reference", "older"] = Field(default="reference", description="older: app as text, markdown")


class Callbacks(_Switches):
    """Messages posted to the `callback_url` of a finished generation. Only loopback addresses are called."""

    enabled: bool = False
    repeat: PositiveInt = 1
    reorder: bool = Field(default=False, description="messages leave in pairs, the second one first")
    lose_rate: float = Field(default=0, ge=0, le=1)
    forge: bool = Field(default=False, description="a message about an unknown generation goes first, unsigned")
    signing_secret: str | None = Field(
        default=None, description="HMAC-SHA256 in X-Mavera-Signature; unsigned if absent"
    )


_LATENCY: dict[Surface, Range] = {
    "personas": Range(low=1, high=8),
    "generations": Range(low=3, high=20),
    "mave": Range(low=5, high=90),
    "responses": Range(low=1, high=6),
    "brand_voices": Range(low=0.2, high=1),
    "usage": Range(low=0.05, high=0.2),
}


class MaveraOptions(_Switches):
    """All switches of the stand-in. Credits are whole numbers, times are seconds."""

    seed: int = 0
    # Names and content
    duplicate_name: Literal["return_existing", "conflict_409", "unprocessable_422", "allow_second"] = (
        "return_existing"
    )
    duplicate_content: Literal["keep", "replace"] = "keep"
    unknown_field: Literal["reject", "drop", "store"] = "reject"
    treat_as_unknown: frozenset[str] = Field(
        default=frozenset({"attributes"}),
        description="documented or assumed fields that this server does not know",
    )
    created_status: Literal[201, 200] = 201
    # Money
    credits: NonNegativeInt = Field(default=10_000, description="monthly credits of a key")
    billing: Literal["normal", "budget_exceeded", "lapsed"] = "normal"
    auto_recharge: bool = Field(default=False, description="the balance may be passed, which bills money")
    persona_price: NonNegativeInt = 300
    persona_update_price: NonNegativeInt = 0
    brand_voice_price: NonNegativeInt = 50
    mave_price: Range = Range(low=10, high=50)
    generation_price: Range = Range(low=10, high=30)
    response_price: Range = Range(low=1, high=5)
    # Access
    scopes: Literal["off", "enforced"] = Field(
        default="off", description="off: any key may do all; enforced: only listed keys, by their scopes"
    )
    keys: dict[str, KeyRule] = Field(default_factory=dict)
    sandbox_header: Literal["honoured", "ignored"] = "honoured"
    requests_per_minute: PositiveInt = Field(default=600, description="plans: 60, 120, 240, 600")
    mave_in_flight: PositiveInt = 10
    unsupported: frozenset[str] = Field(default=frozenset(), description="operationIds that answer 405")
    # Time
    latency: dict[Surface, Range] = Field(default_factory=lambda: dict(_LATENCY))
    latency_scale: float = Field(
        default=0, ge=0, description="0 answers at once, 1 takes as long as the real service"
    )
    list_lag_seconds: float = Field(default=0, ge=0)
    # Shapes and faults
    paging: Paging = Paging()
    faults: tuple[FaultRule, ...] = ()
    error_format: ErrorFormat = Field(
        default="json", description="html: only for 502, 503, 504, as a proxy sends it"
    )
    generations: Generations = Generations()
    brand_voices: BrandVoices = BrandVoices()
    callbacks: Callbacks = Callbacks()
    mave_answer: Literal["draft", "question", "draft_without_validation"] = "draft"
    response_output: Literal["schema", "refusal", "broken_json", "not_completed"] = "schema"
