"""timm, imported without torch's compiler.

timm takes one class from torchvision's operators. One of those asks, at import, for a function of
``torch._dynamo``, and a model of timm for another: with them come the compiler, sympy and Triton,
1,300 modules, as long again as torch itself takes. While timm is imported a stand-in answers for
them. What it hands out calls the real thing when it is called; any other name that is asked for
comes from the real module at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final

_COMPILER: Final = "torch._dynamo"


def _is_compile_supported(*args: Any) -> Any:
    return _real(f"{_COMPILER}.utils").is_compile_supported(*args)


def _disable(function: Callable[..., Any], *how: Any, **more: Any) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        return _real(_COMPILER).disable(function, *how, **more)(*args, **named)

    return call


_ASKED: Final = {"is_compile_supported": _is_compile_supported, "disable": _disable}


class _StandIn(ModuleType):
    """Stands for a module of the compiler until more than `_ASKED` is asked of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _ASKED:
            return _ASKED[name]
        return getattr(_real(self.__name__), name)


def _real(name: str) -> ModuleType:
    _withdraw()
    return import_module(name)


def _withdraw() -> None:
    for name in (_COMPILER, f"{_COMPILER}.utils"):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


@contextmanager
def without_compiler() -> Iterator[None]:
    """Keep what is imported in the block from loading torch's compiler for nothing."""
    found = None if _COMPILER in sys.modules else find_spec("torch")
    if found and found.submodule_search_locations:
        package, utils = _StandIn(_COMPILER), _StandIn(f"{_COMPILER}.utils")
        package.__path__ = [f"{one}/_dynamo" for one in found.submodule_search_locations]
        sys.modules |= {_COMPILER: package, f"{_COMPILER}.utils": utils}
    try:
        yield
    finally:
        _withdraw()


with without_compiler():
    import timm

__all__ = ["timm"]
