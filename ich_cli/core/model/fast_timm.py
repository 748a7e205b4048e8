"""timm, imported without torch's compiler, which doubles the import time of torch.

The cause is upstream: ``torchvision.ops``, which timm imports, imports ``torch._dynamo.utils`` for
``is_compile_supported`` (pytorch/vision pull request 8436), and a timm model uses
``torch._dynamo.disable`` as a decorator. Both load the compiler, sympy and Triton: 1,300 modules.
During the import of timm a placeholder module provides these two functions; they call the real ones
when they are called. Every other attribute comes from the real module. Remove this module once
torchvision imports ``torch._dynamo`` lazily.
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


def _disable(function: Callable[..., Any], *args: Any, **settings: Any) -> Callable[..., Any]:
    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        return _real(_COMPILER).disable(function, *args, **settings)(*given, **named)

    return call


_PLACEHOLDERS: Final = {"is_compile_supported": _is_compile_supported, "disable": _disable}


class _Placeholder(ModuleType):
    """Placeholder of a compiler module; loads it for any name but `_PLACEHOLDERS`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _PLACEHOLDERS:
            return _PLACEHOLDERS[name]
        return getattr(_real(self.__name__), name)


def _real(name: str) -> ModuleType:
    _remove_placeholders()
    return import_module(name)


def _remove_placeholders() -> None:
    for name in (_COMPILER, f"{_COMPILER}.utils"):
        if isinstance(sys.modules.get(name), _Placeholder):
            del sys.modules[name]


@contextmanager
def without_compiler() -> Iterator[None]:
    """Prevent imports in the block from loading torch's compiler."""
    found = None if _COMPILER in sys.modules else find_spec("torch")
    if found and found.submodule_search_locations:
        package, utils = _Placeholder(_COMPILER), _Placeholder(f"{_COMPILER}.utils")
        package.__path__ = [f"{one}/_dynamo" for one in found.submodule_search_locations]
        sys.modules |= {_COMPILER: package, f"{_COMPILER}.utils": utils}
    try:
        yield
    finally:
        _remove_placeholders()


with without_compiler():
    import timm

__all__ = ["timm"]
