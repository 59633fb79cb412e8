"""What runs at fixed times.

Here: cron schedules, switched off until an operator turns them on. Not here: what reacts to outside systems
(`pipelines.sensors`).
"""

import dagster as dg

from pipelines.jobs import maintain, reconcile, refresh

__all__ = ["SCHEDULES", "daily_refresh", "weekly_maintenance", "weekly_reconciliation"]

daily_refresh = dg.ScheduleDefinition(
    name="daily_refresh",
    job=refresh,
    cron_schedule="0 5 * * *",
    execution_timezone="UTC",
    description="The whole job every morning, after the day has ended in UTC-5 and everywhere east of it.",
)

weekly_reconciliation = dg.ScheduleDefinition(
    name="weekly_reconciliation",
    job=reconcile,
    cron_schedule="0 3 * * 0",
    execution_timezone="UTC",
    description="The sweep over Stripe's lists and over the ledger, in the quietest hours.",
)

weekly_maintenance = dg.ScheduleDefinition(
    name="weekly_maintenance",
    job=maintain,
    cron_schedule="0 1 * * 0",
    execution_timezone="UTC",
    description="Compaction and clearing up, before the week's reconciliation and far from the daily refresh.",
)

SCHEDULES = (daily_refresh, weekly_reconciliation, weekly_maintenance)
