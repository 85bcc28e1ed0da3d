"""The default initial point of a search in a sector. Letters as in `_sector`."""

import math

import jax.numpy as jnp
import numpy as np

from jaxcompress.kernels import AbstractActivation
from jaxcompress.kernels.internal import Erf
from jaxcompress.sectors._sector import Sector, SectorNumbers


def default_start(sector: Sector, f: AbstractActivation) -> SectorNumbers:
    """Paired classes copy, and share what no class is paired with; single neurons average it.

    A paired class that has no single neurons beside it takes `1/n` of every uncovered target
    neuron, which meets the target's linear part. A single neuron has the direction `Σ v_i` of all
    uncovered neurons (of all, where none is) and the norm and readout of the best one for them: for
    erf `c = 1/√(ℓ(2ℓ−1))`, `a = ℓ`, for ReLU `|w|² = a² = 2ℓ h(1/√ℓ)`, to the order that matters.
    Classes that share a role are told apart by a tenth.
    """
    width, height = len(sector.partners), len(sector.targets)
    a, e, c = np.ones(width), np.zeros(width), np.zeros((width, height))
    covered = set(sector.partners)
    left = [h for h in range(height) if h not in covered]
    singles = [g for g, each in enumerate(sector.partners) if each is None]
    average = left or list(range(height))
    many = sum(sector.targets[h] for h in average) / max(len(singles), 1)
    for g, partner in enumerate(sector.partners):
        role = [i for i, other in enumerate(sector.partners) if other == partner]
        apart = 1 + 0.1 * role.index(g)
        if partner is None:
            a[g], c[g, average] = _average(many, f)
            c[g] *= apart
        else:
            a[g], e[g] = 1 / len(role), apart
            # A copy that leans by a hundredth leaves the saddle that an exact copy may be.
            c[g, partner] = 0.01 / sector.n * (sector.targets[partner] > 1)
            c[g, left] = (0.1 if singles else 1.0) / sector.n
    return SectorNumbers(jnp.asarray(a, float), jnp.asarray(e, float), jnp.asarray(c, float))


def _average(many: float, f: AbstractActivation) -> tuple[float, float]:
    """Readout and overlap of one neuron for `many`."""
    if isinstance(f, Erf):
        return many, 1 / math.sqrt(many * max(2 * many - 1, 1))
    mass = many / math.pi + math.sqrt(many) / 2
    return math.sqrt(mass), math.sqrt(mass / many)
