"""Model endpoints of an account's own, beside its keys for the platform's providers."""

from alembic import op

revision = "0006"
down_revision = "0005"

CHANGES = """
ALTER TABLE provider_keys
    ALTER COLUMN ciphertext DROP NOT NULL,
    ADD COLUMN base_url text,  -- NULL: a provider of the platform
    ADD COLUMN api text CHECK (api IN ('anthropic-messages', 'openai-responses', 'openai-completions')),
    ADD COLUMN input_usd numeric,  -- prices in USD per million tokens; NULL: not known
    ADD COLUMN output_usd numeric,
    ADD COLUMN cache_read_usd numeric,
    ADD COLUMN cache_write_usd numeric,
    ADD CHECK ((base_url IS NULL) = (api IS NULL)),
    ADD CHECK (base_url IS NOT NULL OR ciphertext IS NOT NULL),
    ADD CHECK ((input_usd IS NULL) = (output_usd IS NULL))
"""


def upgrade() -> None:
    op.execute(CHANGES)
