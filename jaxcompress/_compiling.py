"""What XLA is asked to spend on compiling."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

# LLVM's first level makes the same speed as its third in three quarters of the time. Without XLA's
# newer generator of loops a solver compiles in half of it, and runs 10 % longer (jax 0.10.2, erf
# and ReLU, three neurons of six).
_LEVEL: dict[str, Any] = {"xla_backend_optimization_level": 1}
_QUICK: dict[str, Any] = {**_LEVEL, "xla_cpu_use_fusion_emitters": False}


def compiler_options(backend: str, long: bool = False) -> dict[str, Any]:
    """Options for `jax.jit` of a large program; `long` where it will run much longer than it
    compiles.
    """
    if backend != "cpu":
        return {}
    return dict(_LEVEL) if long or not _knows_quick() else dict(_QUICK)


@functools.cache
def _knows_quick() -> bool:
    """Whether this XLA knows the option: versions may drop it, and then refuse it."""
    try:
        jax.jit(jnp.negative).lower(jnp.zeros(())).compile(compiler_options=_QUICK)
    except jax.errors.JaxRuntimeError:
        return False
    return True
