"""Makes the trading environments known to Gymnasium, without importing it: when somebody else does.

Gymnasium has had no plugin entry points since 1.0: an environment is known once its package was imported. `import ztb`
is that import, and Gymnasium takes a third of a second that most programs do not need it for.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing itself would take longer to import than all the rest
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

ENVIRONMENT_ID = "ztb/Trading-v0"
_GYMNASIUM = "gymnasium"


def register_with_gymnasium() -> None:
    """Register now if Gymnasium is there already, else right after somebody has imported it."""
    if _GYMNASIUM in sys.modules:
        _register()
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported())


def _register() -> None:
    from gymnasium.envs import registration

    if ENVIRONMENT_ID not in registration.registry:
        registration.register(
            ENVIRONMENT_ID,
            entry_point="ztb.trading.environment:TradingEnvironment",
            vector_entry_point="ztb.trading.environment:VectorTradingEnvironment",
        )


class _WhenImported:
    """Finds Gymnasium where the other finders do, once, and has its loader register when it has run."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _GYMNASIUM:
            return None
        sys.meta_path.remove(self)
        found = (finder.find_spec(name, path, target) for finder in list(sys.meta_path))
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            _register_after(spec.loader)
        return spec


def _register_after(loader: object) -> None:
    """Have `loader`, of one module, register when it has executed it, and be as it was from then on."""
    execute = getattr(loader, "exec_module")  # noqa: B009 (of a protocol that need not have it)

    def execute_and_register(module: ModuleType) -> None:
        del loader.__dict__["exec_module"]
        execute(module)
        _register()

    loader.__dict__["exec_module"] = execute_and_register
