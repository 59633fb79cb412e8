"""The segment tables: each is one function of other tables, written whole at each run.

A segment is one function with `@segment` in a module of this package: the tables it reads, one call of a rule, and
what the UI shows. It needs no entry anywhere else. Not here: any rule (`segments`), how a step reads and stores
(`assets.step`).
"""

import sys
from typing import Final

import dagster as dg

__all__ = ["SEGMENT_ASSETS"]

SEGMENT_ASSETS: Final = tuple(
    asset
    for asset in dg.load_assets_from_package_module(sys.modules[__name__])
    if isinstance(asset, dg.AssetsDefinition)
)
