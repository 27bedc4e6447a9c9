"""Limited keys are marked in their labels

Revision ID: 0008
"""

from alembic import op

from maas_api.migrations import marking
from maas_api.store.limits import BUDGET, MODELS

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for limit in (MODELS, BUDGET):
        while marking.mark(op.get_bind(), limit, 1_000):
            pass


def downgrade() -> None:
    raise NotImplementedError("switching back to the Go service needs no downgrade: to it the marks are labels")
