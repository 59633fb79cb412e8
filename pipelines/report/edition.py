"""The report made from a lake, as a page or as a file, whole or not at all.

Here: what the command, the asset and the monitor do alike. Light to import, as the code location holds it; what
reads and draws is imported when it is needed. Not here: the facts and the page themselves.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.report.facts import Facts
    from resources.lake import Lake

__all__ = ["Edition"]


@dataclass(frozen=True, kw_only=True)
class Edition:
    """Whose report it is; `month_cap` is in credits, `file` and `link` are where people find it."""

    reporting_currency: str
    month_cap: int | None
    mode: str
    pretend_credits: bool
    file: Path
    link: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The edition of the settings."""
        below = f"/accounts/{settings.account}" if settings.account else ""
        return cls(
            reporting_currency=settings.reporting_currency,
            month_cap=settings.mavera_credit_budget,
            mode=settings.mode.value,
            pretend_credits=settings.mavera_is_stand_in,
            file=settings.home / "report.html",
            link=f"{settings.monitor_url.rstrip('/')}{below}/report",
        )

    def made(self, lake: "Lake", *, now: datetime) -> "tuple[Facts, str]":
        """The facts and the page. Raises: NothingToReportError, LakeError."""
        from pipelines.report.facts import gather
        from pipelines.report.page import page

        facts = gather(
            lake,
            reporting_currency=self.reporting_currency,
            month_cap=self.month_cap,
            mode=self.mode,
            pretend_credits=self.pretend_credits,
            now=now,
        )
        return facts, page(facts)

    def written(self, lake: "Lake", *, now: datetime, file: Path | None = None) -> "Facts":
        """Write the file; readers see the old page or the new.

        Raises: NothingToReportError, LakeError, OSError.
        """
        facts, html = self.made(lake, now=now)
        target = file or self.file
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        try:
            draft.write_text(html, encoding="utf-8")
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        return facts
