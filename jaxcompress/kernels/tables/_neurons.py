"""A family of gated neurons on standard normal inputs."""

from typing import NamedTuple

from jaxtyping import Array, Float


class Neurons(NamedTuple):
    """`φ(g·z + μ) (u·z + m)`: `gates` `g` and `gate_mean` `μ`, `weights` `u` and `mean` `m`.

    A mean of `None` is exactly zero. Weights of `None` are those of plain neurons, `φ(g·z + μ)`.
    """

    gates: Float[Array, "n d"]
    gate_mean: Float[Array, " n"] | None
    weights: Float[Array, "n d"] | None = None
    mean: Float[Array, " n"] | None = None
