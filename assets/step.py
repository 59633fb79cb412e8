"""One step that makes segment tables: what it declares, what it may read, and what it stores.

Here: the decorator `segment`, which turns a function of a `Step` into an asset, and the `Step` that the function
gets. A step reads what it declares and nothing else, so that the lineage in the UI is the truth. Not here: the
segments themselves (`assets.segments`), any rule (`segments`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from assets.account import PaidWork
from assets.sources import Sources
from assets.tables import key_check_spec, stored, table_spec
from resources.redaction import redacting_errors
from resources.wiring import LakeResource, RatesResource, SegmentChoices, StateResource
from segments.tables import SEGMENT_TABLES

if TYPE_CHECKING:
    import pyarrow as pa

    from activation.operator import Operator
    from resources.lake import Lake
    from segments.fx import FxRates
    from segments.rates import Rates

__all__ = ["RATES", "Step", "segment"]

# Declared like any table, but read as rates.
RATES: Final = "segments/fx_rates"

Made = dg.MaterializeResult | Iterable[dg.MaterializeResult]


@dataclass(frozen=True)
class Step:
    """One run of one segment. `feed` is where published exchange rates come from."""

    names: tuple[str, ...]
    declared: tuple[str, ...]
    lake: "Lake"
    sources: Sources
    choices: SegmentChoices
    feed: RatesResource
    work: PaidWork

    @property
    def as_of(self) -> datetime:
        """The time up to which the raw tables hold. Raises: PositionError."""
        return self.sources.position.as_of

    @property
    def reporting_currency(self) -> str:
        """Currency of tiers and totals."""
        return self.choices.reporting_currency

    def tables(self, *tables: str) -> dict[str, Any]:
        """Declared tables by name, all or those named, with the columns segments read, as the engine reads them.

        Raises: TableMissingError.
        """
        return {_name(table): self.sources(table) for table in self._readable(tables)}

    def parts(self, columns: "Mapping[str, pa.Schema]") -> "dict[str, Any]":
        """The declared tables with the columns named, and as `in_parts` how the engine computes over partitions.

        Empty on an engine that runs in one process.
        """
        if self.sources.in_parts is None:
            return {}
        read = {_name(table): self.sources(table, columns[_name(table)]) for table in self._readable(())}
        return {**read, "in_parts": self.sources.in_parts}

    def whole(self, *tables: str) -> "dict[str, pa.Table]":
        """The same with all columns and in memory, whatever the engine. Raises: TableMissingError."""
        return {_name(table): self.sources.whole(table) for table in self._readable(tables)}

    def changed(self) -> dict[str, frozenset[str]] | None:
        """By declared raw table, read before: ids of rows that differ from what the last run made its table of.

        None where that cannot be told.
        """
        found: dict[str, frozenset[str]] = {}
        for table in self._readable(()):
            ids = self.sources.changed_since(table, f"segments/{self.names[0]}")
            if ids is None:
                return None
            found[_name(table)] = ids
        return found

    def before(self, name: str | None = None) -> "pa.Table | None":
        """The table of this step as the last run left it; None before the first."""
        return self.sources.before(f"segments/{name or self.names[0]}")

    @cached_property
    def published(self) -> "FxRates":
        """The exchange rates on record."""
        from segments.fx import FxRates

        return FxRates(self.sources.whole(self._readable([RATES])[0]).to_pylist())

    @property
    def rates(self) -> "Rates":
        """The exchange rates in force at the time of the raw tables."""
        from segments.rates import rates_at

        return rates_at(self.published, reporting_currency=self.reporting_currency, on=self.as_of)

    @property
    def operator(self) -> "Operator":
        """What the operator's file says. Raises: OperatorFileError."""
        return self.work.operator()

    def made(
        self,
        table: "pa.Table",
        *,
        name: str | None = None,
        checks: tuple[dg.AssetCheckResult, ...] = (),
        **metadata: Any,
    ) -> dg.MaterializeResult:
        """Store a table of this step, with what the UI shows of it."""
        name = name or self.names[0]
        return stored(
            self.lake,
            f"segments/{name}",
            table,
            SEGMENT_TABLES[name],
            read=self.sources.versions,
            metadata={**metadata, "lag_seconds": self._lag},
            checks=checks,
        )

    @property
    def _lag(self) -> int:
        """How far Stripe's time up to which the raw tables hold is behind; a simulated account's may be ahead."""
        return max(0, round((datetime.now(UTC) - self.as_of).total_seconds()))

    def _readable(self, tables: Collection[str]) -> list[str]:
        unknown = set(tables) - set(self.declared)
        if unknown:
            raise ValueError(f"{self.names[0]} reads {', '.join(sorted(unknown))} without declaring it")
        return list(tables) or [table for table in self.declared if table != RATES]


def segment(
    *names: str, reads: tuple[str, ...], checks: tuple[dg.AssetCheckSpec, ...] = ()
) -> Callable[[Callable[[Step], Made]], dg.AssetsDefinition]:
    """The asset of one segment table, or of several that are made together.

    The declared schema of each in `SEGMENT_TABLES` gives its spec and its key check; `reads` are the tables it is
    made from, by their place in the lake.
    """

    def asset_of(body: Callable[[Step], Made]) -> dg.AssetsDefinition:
        @dg.multi_asset(
            name=f"segments__{body.__name__}",
            specs=[
                table_spec(f"segments/{name}", SEGMENT_TABLES[name], deps=reads, kinds={"python"})
                for name in names
            ],
            check_specs=[*(key_check_spec(f"segments/{name}") for name in names), *checks],
        )
        @redacting_errors
        def step(
            lake: LakeResource,
            state: StateResource,
            choices: SegmentChoices,
            rates: RatesResource,
            paid_work: dg.ResourceParam[PaidWork],
        ) -> Any:
            tables = lake.open()
            sources = Sources(tables, state.open(), engine=choices.open())
            made = body(Step(names, reads, tables, sources, choices, rates, paid_work))
            yield from [made] if isinstance(made, dg.MaterializeResult) else made

        return step

    return asset_of


def _name(table: str) -> str:
    return table.rpartition("/")[2]
