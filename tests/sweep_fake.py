"""Blocks without solving: random numbers where a solver's would stand, for tests of what is done
with them.
"""

import numpy as np

from jaxcompress.sweep import _work
from jaxcompress.sweep._layout import networks_of
from jaxcompress.sweep._variables import variables_of


def fake_arrays(plan, block, _=None) -> dict[str, np.ndarray]:
    """What is stored of a block, a function of its plan's key and its number; every run has
    converged.
    """
    random = np.random.default_rng([plan.key, block.number])
    out = {}
    for variable in variables_of(plan):
        kind = np.dtype(variable.dtype)
        numbers = (
            random.random(block.count)
            if kind.kind == "f"
            else np.full(block.count, kind.kind == "b")
        )
        out[variable.name] = numbers.astype(kind)
    for group in networks_of(plan):
        if block.cell.number in group.cells:
            for name, (shape, _axes) in group.arrays.items():
                out[f"networks.{name}"] = random.random((block.count, *shape)).astype(
                    plan.precision
                )
    return out


def solve_nothing(patch) -> None:
    """Let sweeps in this process store such numbers."""
    patch.setattr(_work, "run_block", lambda *_, **__: None)
    patch.setattr(_work, "arrays_of", fake_arrays)
