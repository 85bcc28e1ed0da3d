"""Compiled functions that remain functions: pickled by their name, as executors need it."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import equinox as eqx

_P = ParamSpec("_P")
_R = TypeVar("_R")


def jitted(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """`equinox.filter_jit` for public functions.

    What `filter_jit` returns is an object that holds the function; it cannot be pickled.
    """
    compiled = eqx.filter_jit(function)

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        return compiled(*args, **kwargs)

    return call
