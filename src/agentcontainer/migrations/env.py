"""The script that Alembic runs: it applies the revisions over the connection that `migrate` passes."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
