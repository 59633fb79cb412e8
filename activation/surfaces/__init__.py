"""Mavera's paid surfaces, one operation class each: body, token, look-up, reading of the answer."""

from activation.briefs import Brief
from activation.policy import Kind
from activation.surfaces.base import Answer, Discovered, Need, Remote, Surface, needs_of, resolved
from activation.surfaces.brand_voices import BrandVoices
from activation.surfaces.generations import Generations
from activation.surfaces.mave import CaseStudies
from activation.surfaces.personas import Personas
from activation.surfaces.responses import CopyFixes

__all__ = ["SURFACES", "Answer", "Discovered", "Need", "Remote", "Surface", "kind_of", "needs_of", "resolved"]

SURFACES: dict[Kind, Surface] = {
    surface.kind: surface for surface in (BrandVoices(), Personas(), Generations(), CaseStudies(), CopyFixes())
}
"""By kind, in the order in which a run starts them."""
_KIND_OF_BRIEF = {
    "tier": Kind.PERSONA,
    "market": Kind.PERSONA,
    "retention": Kind.GENERATION,
    "case_study": Kind.CASE_STUDY,
    "copy_fix": Kind.COPY_FIX,
    "brand_voice": Kind.BRAND_VOICE,
}


def kind_of(brief: Brief) -> Kind:
    """What a brief is made into."""
    return _KIND_OF_BRIEF[brief.kind]
