"""Folders that share their name with the function that they are for: `jc.compress(...)`, `jc.compress.Report`."""

import inspect
import sys
import types
from collections.abc import Callable
from typing import Any


def make_callable(room: str, function: Callable) -> None:
    """Let the imported module `room` be called as `function`.

    The import system binds a folder's name on the package, over any function of that name; whichever is imported first,
    the name then means the same.
    """

    module: Any = sys.modules[room]
    module.__class__ = _Room
    module._function = function
    module.__signature__ = inspect.signature(function)
    module.__doc__ = f"{function.__doc__}\n\nThe folder of the same name. {module.__doc__}"


class _Room(types.ModuleType):
    """A module that may be called."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)
