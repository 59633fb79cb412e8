"""The operator's file: what only a person may say about the business, and all of it that may leave.

Here: its typed model and its reading. A product is named to Mavera by the slug given here and never by Stripe's
text; product copy, tone and consent come from here alone. A missing file means that nothing was said: products
stay unnamed, no copy is rewritten, no case study is drafted.
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

__all__ = ["Operator", "OperatorFileError", "read_operator_file"]

_Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
_Line = Annotated[str, StringConstraints(min_length=1, max_length=300)]
_Copy = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
# What an operator pastes by accident: Stripe ids, e-mail addresses, keys.
_IDENTIFYING = re.compile(
    r"\b(cus|sub|in|ch|py|pm|pi|si|acct)_[A-Za-z0-9]{6,}|[\w.+-]+@[\w-]+\.\w+|\b(sk|rk|pk)_(live|test)_|\bwhsec_"
)


class OperatorFileError(ValueError):
    """The file cannot be read or holds what may not leave; the message names the entry."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="after")
    @classmethod
    def _nothing_identifying(cls, value: object) -> object:
        texts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
        for text in texts:
            if isinstance(text, str) and (found := _IDENTIFYING.search(text)):
                raise ValueError(f"may not hold an id, e-mail address or key ({found.group()[:6]}…)")
        return value


class Brand(_Part):
    """How the company speaks."""

    name: _Line = "Our product"
    tone: _Line = "Plain, warm and specific. No hype."
    voice: tuple[_Copy, ...] = ()


class Operator(BaseModel):
    """Everything the operator has said."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    brand: Brand = Brand()
    products: dict[str, _Slug] = Field(default_factory=dict)
    product_copy: dict[str, dict[_Slug, _Copy]] = Field(default_factory=dict)
    anonymised_case_studies: bool = False
    case_study_customers: tuple[str, ...] = ()

    @field_validator("product_copy", mode="after")
    @classmethod
    def _copy_names_nobody(cls, value: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for reason, texts in value.items():
            for slug, text in texts.items():
                if found := _IDENTIFYING.search(text):
                    raise ValueError(f"{reason}.{slug} may not hold an id, e-mail or key ({found.group()[:6]}…)")
        return value


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
        first = error.errors()[0]
        entry = ".".join(str(part) for part in first["loc"])
        raise OperatorFileError(f"{path}, entry {entry}: {first['msg']}") from error
