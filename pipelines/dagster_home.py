"""Where Dagster keeps runs and events: a folder of ours as DAGSTER_HOME, or PostgreSQL when its URL is set.

Here: the instance file that `deploy/dagster.yaml` becomes. Not here: anything about assets.
"""

import os
import sys
from pathlib import Path

from pipelines.settings import Settings

__all__ = ["prepare_dagster_home", "with_driver"]

_INSTANCE_FILE = Path(__file__).parent.parent / "deploy" / "dagster.yaml"
_POSTGRES_STORAGE = """
storage:
  postgres:
    postgres_url:
      env: DAGSTER_POSTGRES_URL
"""
_ONE_ACCOUNT = """  pools:
    default_limit: 1
"""
# Pools are the same for all partitions, and one account would wait for another.
_SEVERAL_ACCOUNTS = """  runs:
    tag_concurrency_limits:
      - key: dagster/partition
        value:
          applyLimitPerUniqueValue: true
        limit: 1
"""
_DRIVER = "postgresql+psycopg2"


def prepare_dagster_home(settings: Settings) -> Path:
    """Write the instance file and point this process and its children at it. Returns the folder.

    The PostgreSQL URL is named in the file by its variable, never by its value.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    text = _INSTANCE_FILE.read_text(encoding="utf-8")
    if settings.stripe_accounts_file is not None:
        text = text.replace(_ONE_ACCOUNT, _SEVERAL_ACCOUNTS)
    if settings.dagster_postgres_url is not None:
        text += _POSTGRES_STORAGE
        os.environ["DAGSTER_POSTGRES_URL"] = with_driver(settings.dagster_postgres_url.get_secret_value())
    target = home / "dagster.yaml"
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        # Processes that start at once read either the old file or the new one, never half of it.
        written = home / f"dagster.yaml.{os.getpid()}"
        written.write_text(text, encoding="utf-8")
        written.replace(target)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def with_driver(url: str) -> str:
    """A PostgreSQL URL with its driver written out: SQLAlchemy's default changes with 2.1."""
    scheme, separator, rest = url.partition("://")
    return f"{_DRIVER}{separator}{rest}" if scheme in ("postgres", "postgresql") else url


if __name__ == "__main__":
    # For containers: their commands are Dagster's own, which only read the file.
    sys.stdout.write(f"{prepare_dagster_home(Settings())}\n")
