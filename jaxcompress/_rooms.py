"""Folders that share their name with the function that they are for: `jc.compress(...)`, `jc.compress.Report`."""

import functools
import sys
import types
from collections.abc import Callable


def make_callable(room: str, function: Callable) -> None:
    """Let the imported module `room` be called as `function`.

    The import system binds a folder's name on the package, over any function of that name; whichever is imported first,
    the name then means the same.
    """

    class CallableModule(types.ModuleType):
        @functools.wraps(function)
        def __call__(self, *args, **kwargs):
            return function(*args, **kwargs)

    sys.modules[room].__class__ = CallableModule
