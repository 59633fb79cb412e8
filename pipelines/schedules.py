"""What runs at fixed times.

Here: cron schedules, switched off until an operator turns them on. Not here: what reacts to outside systems
(`pipelines.sensors`).
"""

import dagster as dg

from pipelines.jobs import reconcile, refresh

__all__ = ["SCHEDULES", "daily_refresh", "weekly_reconciliation"]

daily_refresh = dg.ScheduleDefinition(
    name="daily_refresh",
    job=refresh,
    cron_schedule="0 5 * * *",
    execution_timezone="UTC",
    description="The whole job every morning, after the day has ended everywhere west of UTC+5.",
)

weekly_reconciliation = dg.ScheduleDefinition(
    name="weekly_reconciliation",
    job=reconcile,
    cron_schedule="0 3 * * 0",
    execution_timezone="UTC",
    description="The sweep over Stripe's lists and over the ledger, in the quietest hours.",
)

SCHEDULES = (daily_refresh, weekly_reconciliation)
