"""Vector instructions of 512 bits for our own compiled functions.

LLVM keeps to 256 bits on Intel's processors, because older ones lower their clock for longer
vectors. Here the matrix products beside the compiled loops use 512 bits in any case, so that the
loops lose nothing by it and gain about a quarter. Said function by function, as an attribute, it
leaves other users of numba in the same process alone, and a processor without such instructions
uses those that it has.
"""

from __future__ import annotations

from typing import Any

from numba.core import compiler, lowering, typed_passes
from numba.core.compiler_machinery import register_pass

ATTRIBUTE = '"prefer-vector-width"="512"'


class _WideLower(lowering.Lower):  # type: ignore[misc, unused-ignore]
    def setup_function(self, fndesc: Any) -> None:
        super().setup_function(fndesc)  # type: ignore[no-untyped-call, unused-ignore]
        # llvmlite's own `add` knows LLVM's fixed names only, not attributes that are strings
        set.add(self.function.attributes, ATTRIBUTE)


@register_pass(mutates_CFG=True, analysis_only=False)  # type: ignore[no-untyped-call, unused-ignore]
class _WideLowering(typed_passes.NativeLowering):  # type: ignore[misc, unused-ignore]
    _name = "wide_lowering"

    @property
    def lowering_class(self) -> type:
        return _WideLower


class WideCompiler(compiler.CompilerBase):  # type: ignore[misc, unused-ignore]
    """numba's compiler with `ATTRIBUTE` on every function; for ``njit(pipeline_class=...)``."""

    def define_pipelines(self) -> list[Any]:
        """The usual passes, but for the one that writes LLVM's code."""
        usual: Any = compiler.DefaultPassBuilder
        manager = usual.define_nopython_pipeline(self.state)
        manager.passes = [
            (_WideLowering, text) if step is typed_passes.NativeLowering else (step, text)
            for step, text in manager.passes
        ]
        manager.finalize()
        return [manager]
