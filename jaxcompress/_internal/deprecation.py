"""Names that have changed: the old ones work for one release and say the new one."""

import functools
import importlib
import sys
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
                name = function.__qualname__.removesuffix(".__init__")
                _warn(f"{name}: the argument {old}", new_names[old])
                kwargs[new_names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


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


def renamed_attribute(old: str, new: str, read: Callable[[Any], Any] | None = None) -> Any:
    """A property of a class under its old name: `loss = renamed_attribute("loss", "half_risk")`.

    `read` says how to get the value from the object where `new` is more than an attribute.
    """

    def look_up(self: Any) -> Any:
        name = type(self).__name__
        _warn(f"{name}.{old}", f"{name}.{new}")
        return getattr(self, new) if read is None else read(self)

    return property(look_up)


def _warn(old: str, new: str) -> None:
    message = f"{old} is now called {new}; the old name goes with the next release"
    # The line to blame is the user's: Equinox calls an __init__ from frames of its own.
    level = 3
    while sys._getframe(level - 1).f_globals.get("__name__", "").startswith("equinox."):
        level += 1
    warnings.warn(message, DeprecationWarning, stacklevel=level)
