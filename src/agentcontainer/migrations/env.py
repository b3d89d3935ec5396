"""The script that Alembic runs: it applies the revisions over the connection that `migrate` passes.

Each revision records, in its own transaction, which versions can use the schema that it makes (`oldest_code`).
"""

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script
from sqlalchemy import text

RECORDED_SINCE = "0008"  # it adds the column


def record_oldest_code(ctx: MigrationContext, step: MigrationInfo, heads: object, run_args: object) -> None:  # noqa: ARG001
    """Write the revision's `oldest_code` into the database, unless a greater one is there already."""
    script, connection = step.up_revision, ctx.connection
    assert isinstance(script, Script) and connection is not None
    if script.revision >= RECORDED_SINCE:
        connection.execute(
            text("UPDATE installation SET oldest_code = greatest(oldest_code, :oldest_code)"),
            {"oldest_code": vars(script.module)["oldest_code"]},
        )


context.configure(
    connection=context.config.attributes["connection"], transaction_per_migration=True,
    on_version_apply=record_oldest_code,
)  # fmt: skip
with context.begin_transaction():
    context.run_migrations()
