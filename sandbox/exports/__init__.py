"""Exports of an account as Stripe delivers them: Data Pipeline Parquet and Dashboard CSV."""

from sandbox.exports.writers import write_dashboard_csv, write_pipeline_run

__all__ = ["write_dashboard_csv", "write_pipeline_run"]
