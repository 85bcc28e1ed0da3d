"""XLA's own settings, for tests of the last digits: those of the suite (`conftest`) are cheaper to
compile.
"""

import functools

import jax

# `jax.jit` as it is outside of the suite.
usual_jit = functools.partial(
    jax.jit,
    compiler_options={"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": True},
)
