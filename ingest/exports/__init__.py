"""Exports as a source: files that Stripe delivers, into the same raw tables as the API fills.

Enters: a folder or bucket with Data Pipeline runs and Dashboard CSV files. Leaves: raw tables, quarantine rows, a
report. `find_deliveries` decides what is new, from a listing and a cursor; `load_delivery` loads it. May not be
imported here: another room, Dagster, anything that calls Stripe.
"""

from ingest.exports.deliveries import Delivery, ExportTick, Layout, deliveries_in, find_deliveries
from ingest.exports.listing import FileEntry, list_files
from ingest.exports.load import ExportReport, TableReport, load_delivery

__all__ = [
    "Delivery",
    "ExportReport",
    "ExportTick",
    "FileEntry",
    "Layout",
    "TableReport",
    "deliveries_in",
    "find_deliveries",
    "list_files",
    "load_delivery",
]
