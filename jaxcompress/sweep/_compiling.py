"""What compilation costs: the clock that reports it.

JAX tells its listeners how long every trace, lowering and compilation took; these lie inside each
other, so their lengths are not added: their union is measured.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

import jax

_EVENTS = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


class CompileClock:
    """Seconds of wall clock that this thread has spent on making programs, since the clock was
    started.
    """

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
