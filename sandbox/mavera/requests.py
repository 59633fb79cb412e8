"""Request bodies that the pretend Mavera accepts, as strict as the contract.

Only shapes and their limits belong here. Whether an app, a persona or a voice exists is decided where it is
used. Fields that the contract marks as assumed are known here; `treat_as_unknown` takes them away again.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

__all__ = ["BrandVoiceCreate", "GenerationCreate", "MaveChat", "PersonaCreate", "PersonaUpdate", "ResponseCreate"]

_Text = Annotated[str, StringConstraints(min_length=1)]
_Uri = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$")]
_Name = Annotated[str, StringConstraints(min_length=2, max_length=100)]
_Weight = Annotated[int, Field(ge=1, le=5)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Weights(_Body):
    price: _Weight = 3
    timeToValue: _Weight = 3
    risk: _Weight = 3
    proof: _Weight = 3
    support: _Weight = 3


class _Traits(_Body):
    role_segment: list[str] | None = None
    buying_stage: str | None = None
    decision_role: str | None = None
    primary_objectives: list[str] | None = None
    mcda_weights: _Weights | None = None
    goals: list[str] | None = None
    pains: list[str] | None = None
    triggers: list[str] | None = None
    channels: list[str] | None = None
    proof_types: list[str] | None = None
    alternatives: list[str] | None = None
    win_factors: list[str] | None = None
    objections: list[str] | None = None
    role_title: str | None = None
    seniority: str | None = None
    industry: str | None = None
    company_size: str | None = None
    tech_stack: list[str] | None = None
    budget_authority: str | None = None
    procurement_constraints: list[str] | None = None
    regulatory_context: list[str] | None = None
    purchase_cadence: str | None = None
    key_differentiators: list[str] | None = None
    is_localized: bool | None = None
    locale_scope: str | None = None
    locale_value: str | None = None
    local_channels: list[str] | None = None
    local_objections: list[str] | None = None
    local_keywords: list[str] | None = None

    @model_validator(mode="after")
    def _no_nulls(self) -> Self:
        # The contract knows no null in a request: an absent trait is left out.
        for name in self.model_fields_set:
            if getattr(self, name) is None:
                raise PydanticCustomError("null_field", "{field} must not be null", {"field": name})
        return self


class PersonaCreate(_Traits):
    pipeline_type: Literal["north_star", "intermediate", "advanced"]
    type: Literal["B2B", "B2C"]
    name: _Name
    description: str | None = None
    attributes: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _north_star_is_described(self) -> Self:
        if self.pipeline_type == "north_star" and self.description is None:
            raise PydanticCustomError("missing_field", "{field} is required", {"field": "description"})
        return self


class PersonaUpdate(_Traits):
    pipeline_type: Literal["north_star", "intermediate", "advanced"] | None = None
    type: Literal["B2B", "B2C"] | None = None
    name: _Name | None = None
    description: str | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise PydanticCustomError("empty", "the body changes nothing")
        return self


class GenerationCreate(_Body):
    app_id: _Text
    input_data: dict[str, Any]
    persona_id: str = ""
    brand_voice_id: str = ""
    workspace_id: str = ""
    title: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "Untitled"
    stream: Literal[False] = False
    callback_url: _Uri = ""


class MaveChat(_Body):
    message: _Text
    thread_id: str = ""
    workspace_id: str = ""
    stream: Literal[False] = False


class _OutputFormat(_Body):
    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, StringConstraints(min_length=1, max_length=64)] = ""
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool = False

    @model_validator(mode="after")
    def _schema_is_named(self) -> Self:
        if self.type == "json_schema":
            for field, value in (("name", self.name), ("schema", self.schema_)):
                if not value:
                    raise PydanticCustomError("missing_field", "{field} is required", {"field": field})
        return self


class _TextSettings(_Body):
    format: _OutputFormat = _OutputFormat(type="text")


class ResponseCreate(_Body):
    model: Literal["mavera-1"]
    input: (
        Annotated[str, StringConstraints(min_length=1, max_length=100_000)]
        | Annotated[list[dict[str, Any]], Field(min_length=1)]
    )
    persona_id: str
    instructions: str = ""
    text: _TextSettings = _TextSettings()
    analysis_mode: bool = False
    max_output_tokens: Annotated[int, Field(ge=1)] = 1
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    stream: Literal[False] = False


class _Link(_Body):
    url: _Uri


class _Document(_Body):
    model_config = ConfigDict(extra="ignore", strict=True)

    name: str
    url: _Uri
    file_type: str = ""
    file_size: Annotated[int, Field(ge=0)] = 0


class BrandVoiceCreate(_Body):
    label: Annotated[str, StringConstraints(min_length=2)]
    usage_context: Annotated[str, StringConstraints(min_length=10)]
    workspace_id: str = ""
    urls: list[_Uri | _Link] = []
    documents: list[_Document] = []
