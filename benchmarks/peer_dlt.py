"""Loads a Stripe account into DuckDB by dlt's `rest_api` source; `benchmarks.peers` runs it with dlt's own Python.

    python benchmarks/peer_dlt.py BASE_URL KEY FOLDER

dlt's source for Stripe is not on PyPI. This is the declarative source of the package, configured as its
documentation says for cursors in the answer: https://dlthub.com/docs/dlt-ecosystem/verified-sources/rest_api
Streams are read in parallel, which is the faster of its two ways. Prints the ids that landed, by table, as JSON.
"""

import json
import sys
from pathlib import Path

import dlt
from dlt.sources.rest_api import rest_api_source

# Lists inside objects become tables of their own, with what the answer to the list request holds of them.
_TABLES = {
    "customers": "customers",
    "subscriptions": "subscriptions",
    "subscription_items": "subscriptions__items__data",
    "prices": "prices",
    "invoices": "invoices",
    "invoice_lines": "invoices__lines__data",
    "charges": "charges",
}


def main(base: str, key: str, folder: Path) -> None:
    """Extract, normalize and load, then read the ids back."""
    source = rest_api_source(
        {
            "client": {
                "base_url": f"{base}/v1/",
                "auth": {"type": "bearer", "token": key},
                "paginator": {
                    "type": "cursor",
                    "cursor_path": "data[-1].id",
                    "cursor_param": "starting_after",
                    "has_more_path": "has_more",
                },
            },
            "resource_defaults": {
                "primary_key": "id",
                "parallelized": True,
                "endpoint": {"params": {"limit": 100}, "data_selector": "data"},
            },
            "resources": [
                "customers",
                {"name": "subscriptions", "endpoint": {"params": {"status": "all"}}},
                "prices",
                "invoices",
                "charges",
            ],
        }
    )
    pipeline = dlt.pipeline(
        "stripe",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / "account.duckdb")),
        dataset_name="stripe",
    )
    pipeline.run(source)
    with pipeline.sql_client() as client:
        ids = {
            table: [row[0] for row in client.execute_sql(f'SELECT id FROM "{name}"') or ()]
            for table, name in _TABLES.items()
        }
    print(json.dumps(ids))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
