"""The operator's file: what only a person may say about the business, and all the free text that may leave.

Here: its typed model and its reading. A product is named to Mavera by the slug given here and never by Stripe's
text; product copy, guidance and consent come from here alone. A missing file means that nothing was said:
products stay unnamed, no copy is rewritten, no case study is drafted. The scan of the texts is in
`operator_text`.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from activation.briefs import BrandVoiceBrief, Suppressed, Tone
from activation.operator_text import OperatorText, Slug

__all__ = ["Operator", "OperatorFileError", "Retention", "Stake", "briefs_of", "read_operator_file"]


class OperatorFileError(ValueError):
    """The file cannot be read or holds what may not leave; the message names the entry, never the text."""


class CaseStudyConsent(BaseModel):
    """Whose growth may be told. Drafts never name anybody; without consent there is none at all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    anonymised: bool = False
    customers: frozenset[str] = Field(frozenset(), description="Stripe customer ids that agreed; they stay local")

    @property
    def consented(self) -> frozenset[str] | None:
        """Whose growth may be counted in a group: nobody's without consent, None for everybody's."""
        return (self.customers or None) if self.anonymised else frozenset()


class Stake(NamedTuple):
    """What a cohort puts at stake, minor units a month of the reporting currency; a part may be unknown."""

    minor: int
    complete: bool


class Retention(BaseModel):
    """Which risk cohorts are worth a message."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    least_at_stake_minor: int = Field(
        0,
        ge=0,
        description="MRR at stake (expected to leave within 30 days, or just lost) from which a cohort gets a "
        "message; minor units of the reporting currency",
    )

    def refusal(self, stake: Stake | None) -> str | None:
        """Why a cohort gets no message; None when it does. One whose stake is not wholly known always does.

        The reason names no amount of the data, which would change the plan's hash each day.
        """
        if stake is None or not stake.complete or stake.minor >= self.least_at_stake_minor:
            return None
        least = self.least_at_stake_minor
        return f"less MRR at stake than {least} minor units a month (retention.least_at_stake_minor)"


class Operator(BaseModel):
    """Everything the operator has said."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tone: Tone = Tone.PLAIN
    brand_voice: BrandVoiceBrief | None = None
    products: dict[str, Slug] = Field(default_factory=dict, description="Stripe product id to slug")
    guidance: dict[str, OperatorText] = Field(default_factory=dict, description="segment key to text")
    product_copy: dict[str, dict[Slug, OperatorText]] = Field(
        default_factory=dict, description="dispute reason, then product slug, to the copy as it stands"
    )
    retention: Retention = Retention()
    case_studies: CaseStudyConsent = CaseStudyConsent()


def read_operator_file(path: Path) -> Operator:
    """What the operator said; the empty answer when there is no file.

    Raises: OperatorFileError, naming the entry.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Operator()
    except OSError as error:
        raise OperatorFileError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return Operator.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise OperatorFileError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        entry = ".".join(str(part) for part in first["loc"])
        raise OperatorFileError(f"{path}, entry {entry}: {first['msg']}") from error


def briefs_of(
    cells: Iterable[Mapping[str, Any]], operator: Operator, *, stakes: Mapping[str, Stake] | None = None
) -> tuple[list[dict[str, Any]], list[Suppressed]]:
    """Released cells as briefs, with the operator's words added; and cells that lack words they need or are not
    worth a message.

    `cells` are mappings in the form of the briefs without operator text, each with its `segment_key`. `stakes` say
    what retention cohorts put at stake, by segment key.
    """
    briefs: list[dict[str, Any]] = []
    silent: list[Suppressed] = []
    if operator.brand_voice is not None:
        briefs.append(operator.brand_voice.model_dump(mode="json"))
    for cell in cells:
        key = str(cell["segment_key"])
        brief = {name: value for name, value in cell.items() if name != "segment_key"}
        if brief["kind"] == "copy_fix":
            copy = operator.product_copy.get(brief["reason"], {}).get(brief["product"])
            if copy is None:
                entry = f"product_copy.{brief['reason']}.{brief['product']}"
                silent.append(Suppressed(segment_key=key, reason=f"the operator's file has no {entry}"))
                continue
            brief["original_copy"] = copy
        elif key in operator.guidance:
            brief["guidance"] = operator.guidance[key]
        if brief["kind"] == "retention":
            if (reason := operator.retention.refusal((stakes or {}).get(key))) is not None:
                silent.append(Suppressed(segment_key=key, reason=reason))
                continue
            brief["tone"] = operator.tone
        briefs.append(brief)
    return briefs, silent
