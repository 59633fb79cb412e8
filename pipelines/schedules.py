"""What runs at fixed times.

Here: cron schedules, switched off until an operator turns them on. Not here: what reacts to outside systems
(`pipelines.sensors`).
"""

import dagster as dg

from pipelines.jobs import refresh

__all__ = ["SCHEDULES", "daily_refresh"]

daily_refresh = dg.ScheduleDefinition(
    name="daily_refresh",
    job=refresh,
    cron_schedule="0 5 * * *",
    execution_timezone="UTC",
    description="The whole job every morning, after the day has ended everywhere west of UTC+5.",
)

SCHEDULES = (daily_refresh,)
