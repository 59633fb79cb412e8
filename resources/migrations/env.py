"""Alembic's entry: runs the migrations on the connection that `State` hands over, with its version table."""

from alembic import context

from resources.state import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes["version_table"],
    render_as_batch=True,
)
context.run_migrations()
