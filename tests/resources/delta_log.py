"""Delta tables as other writers leave them: a log written by hand, as the protocol describes it.

https://github.com/delta-io/delta/blob/master/PROTOCOL.md
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["write_delta_log"]


def write_delta_log(
    folder: Path,
    *,
    features: Sequence[str] = (),
    configuration: Mapping[str, str] | None = None,
    partitions: Sequence[str] = (),
) -> None:
    """A table without rows, with one text column `id`."""
    protocol: dict[str, Any] = {"minReaderVersion": 1, "minWriterVersion": 2}
    if features:
        listed = {"readerFeatures": list(features), "writerFeatures": list(features)}
        protocol = {"minReaderVersion": 3, "minWriterVersion": 7, **listed}
    column = {"name": "id", "type": "string", "nullable": True, "metadata": {}}
    about = {
        "id": "00000000-0000-0000-0000-000000000000",
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps({"type": "struct", "fields": [column]}),
        "partitionColumns": list(partitions),
        "configuration": dict(configuration or {}),
        "createdTime": 0,
    }
    log = folder / "_delta_log"
    log.mkdir(parents=True)
    actions = [{"protocol": protocol}, {"metaData": about}]
    (log / f"{0:020}.json").write_text("\n".join(json.dumps(action) for action in actions), encoding="utf-8")
