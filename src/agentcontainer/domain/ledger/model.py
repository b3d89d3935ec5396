"""The dataclasses of ledger entries and holds."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

EntryKind = Literal["credit", "hold", "release", "charge", "refund"]


@dataclass(frozen=True)
class Entry:
    """One line of the ledger. A hold and a charge are negative."""

    id: str
    kind: EntryKind
    amount_micro_usd: int
    task_id: str | None
    balance_after_micro_usd: int
    created_at: datetime


@dataclass(frozen=True)
class NewEntry:
    """An entry about to be added. `task_id` None: a credit."""

    account_id: str
    kind: EntryKind
    amount_micro_usd: int
    task_id: str | None = None


@dataclass(frozen=True)
class LockedAccount:
    """What a hold needs of an account, read with its row locked."""

    is_unlimited: bool
    balance_micro_usd: int


@dataclass(frozen=True)
class Hold:
    """Money held for a task. 0: the task's row has a hold, but the ledger has none."""

    task_id: str
    account_id: str
    micro_usd: int


@dataclass(frozen=True)
class Imbalance:
    """An account whose balance is not the sum of its entries."""

    account_id: str
    balance_micro_usd: int
    sum_micro_usd: int
