"""Exports as a source: files that Stripe delivers, into the same raw tables as the API fills.

Enters: a folder or bucket with Data Pipeline runs and Dashboard CSV files. Leaves: raw tables, quarantine rows, a
report. `find_deliveries` decides what is new, from a listing and a cursor; `load_exports` loads it, or what a run
was told, and remembers it. May not be imported here: another room, Dagster, anything that calls Stripe.
"""

from ingest.exports.deliveries import Delivery, ExportTick, Layout, deliveries_in, find_deliveries
from ingest.exports.listing import FileEntry, list_files
from ingest.exports.load import ExportReport, TableReport, load_delivery, raw_tables
from ingest.exports.source import DeliveryMissingError, ExportSource, LoadedExports, load_exports

__all__ = [
    "Delivery",
    "DeliveryMissingError",
    "ExportReport",
    "ExportSource",
    "ExportTick",
    "FileEntry",
    "Layout",
    "LoadedExports",
    "TableReport",
    "deliveries_in",
    "find_deliveries",
    "list_files",
    "load_delivery",
    "load_exports",
    "raw_tables",
]
