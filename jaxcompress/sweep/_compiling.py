"""What compilation costs: the clock that reports it, and the cache on disk that spares it.

JAX tells its listeners how long every trace, lowering and compilation took; these lie inside each other, so their
lengths are not added: their union is measured.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

_EVENTS = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


class CompileClock:
    """Seconds of wall clock that this thread has spent on making programs, since the clock was started."""

    def __init__(self):
        self._thread = threading.get_ident()
        self._spans: list[tuple[float, float]] = []

    def hear(self, event: str, duration_secs: float, **_: str | int) -> None:
        """A listener of `jax.monitoring`, which is told when a step is over."""
        if event in _EVENTS and threading.get_ident() == self._thread:
            end = time.monotonic()
            self._spans.append((end - duration_secs, end))

    @property
    def seconds(self) -> float:
        """The length of the union of all steps."""
        total, reached = 0.0, float("-inf")
        for begin, end in sorted(self._spans):
            total += max(0.0, end - max(begin, reached))
            reached = max(reached, end)
        return total


@contextlib.contextmanager
def compile_clock() -> Iterator[CompileClock]:
    """A clock that runs inside the context."""
    clock = CompileClock()
    jax.monitoring.register_event_duration_secs_listener(clock.hear)
    try:
        yield clock
    finally:
        jax.monitoring.unregister_event_duration_listener(clock.hear)


def keep_programs(folder: str | os.PathLike) -> None:
    """Let this process keep what it compiles in a folder, and look there first (JAX's persistent cache).

    Another folder than before takes the place of that one. Of what a process that was killed has left, empty entries
    are removed; of one that was cut JAX warns, and compiles its program anew every time: remove the file that it names.
    """
    folder = os.path.abspath(folder)
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.endswith("-cache") and entry.stat().st_size == 0:
                os.unlink(entry)
    config: Any = jax.config  # whose entries its type does not list
    if config.jax_compilation_cache_dir != folder:
        config.update("jax_compilation_cache_dir", folder)
        compilation_cache.reset_cache()  # JAX reads the name once
    config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
