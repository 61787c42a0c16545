"""Orders, the risk gate they pass, and the paper exchange that fills them."""

from __future__ import annotations

from ztb.lazy import attach

TYPE_CHECKING = False  # see ztb/__init__.py
if TYPE_CHECKING:
    from ztb.execution.account import ACCOUNT
    from ztb.execution.orders import Filled, OrderEvent, OrderRequest, OrderType, TimeInForce
    from ztb.execution.paper import PaperExchange
    from ztb.execution.paper_config import PaperConfig
    from ztb.execution.risk import RefusalReason, RiskLimits
    from ztb.execution.risk_gate import RiskGate

__all__ = [
    "ACCOUNT",
    "Filled",
    "OrderEvent",
    "OrderRequest",
    "OrderType",
    "PaperConfig",
    "PaperExchange",
    "RefusalReason",
    "RiskGate",
    "RiskLimits",
    "TimeInForce",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "ACCOUNT": "account",
        "Filled": "orders",
        "OrderEvent": "orders",
        "OrderRequest": "orders",
        "OrderType": "orders",
        "PaperConfig": "paper_config",
        "PaperExchange": "paper",
        "RefusalReason": "risk",
        "RiskGate": "risk_gate",
        "RiskLimits": "risk",
        "TimeInForce": "orders",
    },
)
