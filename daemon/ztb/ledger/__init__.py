"""The durable journal of a run, exact accounts made from it, and the run's folder."""

from __future__ import annotations

from ztb.lazy import attach

TYPE_CHECKING = False  # see ztb/__init__.py
if TYPE_CHECKING:
    from ztb.ledger.accounts import Account
    from ztb.ledger.journal import Journal
    from ztb.ledger.journal_reader import JournalReader
    from ztb.ledger.records import DecisionRow, FillRow, GenerationRow, NoteRow, OrderRow, Record, UpdateRow
    from ztb.ledger.run_directory import RunDirectory, create_run_directory

__all__ = [
    "Account",
    "DecisionRow",
    "FillRow",
    "GenerationRow",
    "Journal",
    "JournalReader",
    "NoteRow",
    "OrderRow",
    "Record",
    "RunDirectory",
    "UpdateRow",
    "create_run_directory",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "Account": "accounts",
        "DecisionRow": "records",
        "FillRow": "records",
        "GenerationRow": "records",
        "Journal": "journal",
        "JournalReader": "journal_reader",
        "NoteRow": "records",
        "OrderRow": "records",
        "Record": "records",
        "RunDirectory": "run_directory",
        "UpdateRow": "records",
        "create_run_directory": "run_directory",
    },
)
