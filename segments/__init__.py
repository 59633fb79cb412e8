"""Rows of Stripe's tables in, segment tables out: revenue, tiers, risk, markets, growth, disputes, and what may
leave.

What enters: Arrow tables, pandas frames or lazy frames (DuckDB, PySpark) with the columns of `segments.inputs`, a
time and thresholds. What leaves: one Arrow table for each schema of `segments.tables`. Everything here is a pure
function: no file, no socket, no clock, no randomness, no setting. Nothing of the project may be imported but this
room itself and the decimals of currencies (`resources.currencies`).
"""
