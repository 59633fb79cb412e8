#!/bin/sh
# Writes Dagster's instance file where DATA_DIR puts it, then becomes the command.
# Another DAGSTER_HOME, as the Helm chart mounts one, is left as it is.
set -eu
if [ "${DAGSTER_HOME:-}" = "${DATA_DIR:-/data}/dagster" ]; then
    python -m pipelines.dagster_home >&2
fi
exec "$@"
