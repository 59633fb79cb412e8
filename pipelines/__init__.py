"""When and how it runs: settings, the assembly of the code location, jobs, schedules, sensors, the command line.

Enters: the environment. Leaves: Dagster runs, and a command's answer with its exit code. Imports every other room;
nothing imports it, and no rule of revenue or of paid work is here.
"""
