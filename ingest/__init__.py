"""Stripe to rows: windows, events, exports and webhooks become the raw tables `stripe/<table>`.

Enters: a reading client of one account, a folder of exports, or signed webhook bodies. Leaves: rows in the schemas
of `ingest.tables`, each object once and at its newest version, what could not be read in quarantine, and reports.
Nothing here knows Dagster or Mavera, and nothing computes revenue.
"""
