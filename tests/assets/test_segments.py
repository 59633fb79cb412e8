"""Segment assets are found by themselves: a table that is declared has an asset, in whichever module it stands."""

from assets.segments import SEGMENT_ASSETS
from segments.tables import SEGMENT_TABLES


def test_every_declared_segment_table_has_one_asset() -> None:
    made = [key.to_user_string() for asset in SEGMENT_ASSETS for key in asset.keys]
    assert sorted(made) == sorted(f"segments/{name}" for name in SEGMENT_TABLES)
