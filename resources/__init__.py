"""The doors: one class per outside system (Stripe, Mavera, exchange rates, the lake, the state).

Nothing here knows what the data means; nothing here imports another room. `wiring` offers the same doors as
Dagster resources and is the only module of the room that imports Dagster.
"""
