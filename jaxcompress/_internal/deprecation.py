"""Names that have changed: the old ones work for one release and say the new one."""

import functools
import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


def renamed_arguments(**new_names: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """A decorator for functions whose keywords have changed: `renamed_arguments(old="new")`."""

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            for old in new_names.keys() & kwargs.keys():
                _warn(f"{function.__name__}: the argument {old}", new_names[old])
                kwargs[new_names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def renamed_attribute(new: str) -> Any:
    """An attribute of a class whose name has changed: `old = renamed_attribute("new")`."""
    return _Renamed(new)


class _Renamed:
    def __init__(self, new: str):
        self._new = new

    def __set_name__(self, owner: type, old: str) -> None:
        self._old = old

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        _warn(f"{owner.__name__}.{self._old}", f"{owner.__name__}.{self._new}")
        return getattr(instance, self._new)


def renamed(module: str, new_names: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a module some of whose names have changed.

    `new_names` has for each old name the new one in the same module, or `"other.module:name"`.
    """

    def look_up(name: str) -> Any:
        if name not in new_names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        place, _, new = new_names[name].rpartition(":")
        _warn(f"{module}.{name}", f"{place}.{new}" if place else f"{module}.{new}")
        return getattr(importlib.import_module(place or module), new)

    return look_up


def _warn(old: str, new: str) -> None:
    message = f"{old} is now called {new}; the old name goes with the next release"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
