"""What a check found: one line with a verdict, and what to do about it.

Here: the finding and how findings become an answer. Not here: any check.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.console import Console

from pipelines.answer import Answer, Exit
from resources.redaction import redact

__all__ = ["Finding", "Verdict", "answer", "failed", "fine", "warned"]


class Verdict(StrEnum):
    """`ok`: nothing to do. `attention`: works, and a person should look. `failed`: a run would fail."""

    OK = "ok"
    ATTENTION = "attention"
    FAILED = "failed"


_STYLES = {Verdict.OK: "green", Verdict.ATTENTION: "yellow", Verdict.FAILED: "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: its name, what was found, and what to do (empty if there is nothing to do)."""

    check: str
    verdict: Verdict
    found: str
    todo: str = ""


def fine(check: str, found: str, todo: str = "") -> Finding:
    """In order; `todo` may say what could be better."""
    return Finding(check=check, verdict=Verdict.OK, found=found, todo=todo)


def warned(check: str, found: str, todo: str) -> Finding:
    """Works, but a person should look."""
    return Finding(check=check, verdict=Verdict.ATTENTION, found=found, todo=todo)


def failed(check: str, found: str, todo: str) -> Finding:
    """Broken: a run would fail."""
    return Finding(check=check, verdict=Verdict.FAILED, found=found, todo=todo)


def answer(findings: Sequence[Finding]) -> Answer:
    """All findings: exit code 1 if one failed, 3 if one waits for a person, else 0."""
    verdicts = {finding.verdict for finding in findings}
    code = Exit.FAILED if Verdict.FAILED in verdicts else Exit.DONE
    if code is Exit.DONE and Verdict.ATTENTION in verdicts:
        code = Exit.WAITS_FOR_PERSON
    width = max(len(finding.check) for finding in findings)

    def page(console: Console) -> None:
        for finding in findings:
            console.print(f"{finding.verdict.value:<9}", style=_STYLES[finding.verdict], end=" ")
            todo = f" → {finding.todo}" if finding.todo else ""
            line = redact(f"{finding.check:<{width}}  {finding.found}{todo}")
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    lines = [
        {
            "check": finding.check,
            "verdict": finding.verdict.value,
            "found": redact(finding.found),
            "todo": redact(finding.todo),
        }
        for finding in findings
    ]
    return Answer(payload={"healthy": code is Exit.DONE, "checks": lines}, exit=code, page=page)
