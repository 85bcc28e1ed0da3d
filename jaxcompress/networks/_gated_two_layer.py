"""Gated neurons: the feed-forward layers of language models."""

import equinox as eqx
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array
from jaxcompress.kernels import AbstractActivation, activations
from jaxcompress.networks._network import AbstractNetwork, preactivations

_NAMES = ("gate_weights", "weights", "readout", "gate_bias", "bias", "output_bias")


class GatedTwoLayer(AbstractNetwork):
    """A network of gated neurons: `f(x) = Σ_i a_i φ(g_i·x + gate_bias_i) (u_i·x + bias_i) +
    output_bias`.

    With `φ` SiLU it is the SwiGLU layer, with GELU the GeGLU, with ReLU the ReGLU.

    Arguments, all arrays of one floating dtype:

    - `gate_weights (n, d)`, the rows `g_i`;
    - `weights (n, d)`, the rows `u_i`;
    - `readout (n,)` for one output, or `(n, o)` for several;
    - `gate_bias (n,)`, or `None`;
    - `bias (n,)`, or `None`;
    - `output_bias ()` or `(o,)`, or `None`;
    - `activation`, that of the gates, one of `jaxcompress.activations` (static).

    Many networks at once are a batch, as those of `TwoLayer`. Leaves flatten in the order above.
    Raises `ValueError` when shapes or dtypes do not fit together.
    Reference: Shazeer 2020, *GLU variants improve transformer*.

    >>> import jax.numpy as jnp
    >>> import jaxcompress as jc
    >>> network = jc.GatedTwoLayer(
    ...     jnp.eye(2), jnp.eye(2), jnp.ones(2), activation=jc.activations.relu
    ... )
    >>> float(network(jnp.asarray([3.0, -1.0])))  # relu(3)·3 + relu(−1)·(−1)
    9.0
    """

    gate_weights: Float[Array, "*runs n d"]
    weights: Float[Array, "*runs n d"]
    readout: Float[Array, "*runs n"] | Float[Array, "*runs n o"]
    gate_bias: Float[Array, "*runs n"] | None
    bias: Float[Array, "*runs n"] | None
    output_bias: Float[Array, "*runs"] | Float[Array, "*runs o"] | None
    activation: AbstractActivation = eqx.field(static=True)

    def __init__(
        self,
        gate_weights: Float[Array, "*runs n d"],
        weights: Float[Array, "*runs n d"],
        readout: Float[Array, "*runs n"] | Float[Array, "*runs n o"],
        gate_bias: Float[Array, "*runs n"] | None = None,
        bias: Float[Array, "*runs n"] | None = None,
        output_bias: Float[Array, "*runs"] | Float[Array, "*runs o"] | None = None,
        activation: AbstractActivation = activations.silu,
    ):
        given = gate_weights, weights, readout, gate_bias, bias, output_bias
        for name, array in zip(_NAMES, given, strict=True):
            optional = array is None and name.endswith("bias")
            kept = None if optional else as_array("GatedTwoLayer", name, array)
            setattr(self, name, kept)
        self.activation = activation
        self._check("gate_weights (n, d) and weights (n, d)", "gate_bias (n,), bias (n,)")

    def parameters(self) -> dict[str, Array]:
        named = {name: getattr(self, name) for name in _NAMES}
        return {name: array for name, array in named.items() if array is not None}

    def hidden(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch n"]:
        gates = self.activation(preactivations(x, self.gate_weights, self.gate_bias))
        return gates * preactivations(x, self.weights, self.bias)
