"""Makes machine code once for a kernel that Python calls, with all that it calls linked into it.

Left alone, numba optimises and emits code for every function by itself and then again for each that calls it, so that
what lies deep is compiled once for every level above it. Here a function stays what it was lowered to until somebody
wants its address: a first run compiles in half of the time, and the code is the same.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any, ClassVar

from numba.core import codegen
from numba.core.registry import cpu_target


class LinkedLibrary(codegen.JITCodeLibrary):
    """The code of one function: lowered when it is compiled, made machine code when its address is asked for."""

    _emitted = False

    def finalize(self) -> None:
        """Say that nothing is added any more. Optimising and emitting wait."""
        self._raise_if_finalized()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """The address of `name`; 0 if this code has no such function."""
        self._ensure_finalized()
        if not self._emitted:
            module: Any = self._final_module
            if not any(
                function.name == name and not function.is_declaration for function in module.functions
            ):
                return 0
            self._emit()
        return int(super().get_pointer_to_function(name))

    def serialize_using_object_code(self) -> Any:
        """Object and bitcode for the cache on disk."""
        self._ensure_finalized()
        self._emit()
        return super().serialize_using_object_code()

    def _emit(self) -> None:
        if self._emitted:
            return
        for library in self._callees():
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._shared_module = None
        self._optimize_final_module()
        self._final_module.verify()
        self._finalize_final_module()

    def _finalize_final_module(self) -> None:
        self._emitted = True  # which what comes from the cache has been, too
        super()._finalize_final_module()
        generator: Any = self._codegen
        generator.enter_environments(self._final_module)

    def _callees(self) -> list[Any]:
        """All that is to be linked in, each after all that call it: LLVM leaves out what nobody has asked for yet."""
        seen: set[Any] = set()
        called_first: list[Any] = []

        def visit(library: Any) -> None:
            for called in library._linking_libraries:
                if called not in seen:
                    seen.add(called)
                    if isinstance(called, LinkedLibrary) and not called._emitted:
                        visit(called)
                    called_first.append(called)

        visit(self)
        return called_first[::-1]


class LinkingCodegen(codegen.JITCPUCodegen):
    """Numba's code generator with libraries that are linked once."""

    _library_class = LinkedLibrary
    _environments: ClassVar[dict[str, Any]] = {}
    """Of every function that was compiled or loaded, by the name of the variable that points to it."""

    def set_env(self, env_name: str, env: Any) -> None:
        """Remember the environment of a function; the code that has it inlined is told when it is emitted."""
        self._environments[env_name] = env
        if self._engine.is_symbol_defined(env_name):
            super().set_env(env_name, env)

    def enter_environments(self, module: Any) -> None:
        """Tell the code of `module` the environments of all functions in it."""
        known = self._environments
        for variable in module.global_variables:
            if variable.name in known:
                super().set_env(variable.name, known[variable.name])


def link_once() -> None:
    """Have numba compile like this from now on, in this process."""
    context: Any = cpu_target.target_context
    target = context.codegen()
    target.__class__ = LinkingCodegen
