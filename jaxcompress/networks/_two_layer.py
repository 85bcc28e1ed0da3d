"""The model of the package: plain neurons."""

import equinox as eqx
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array
from jaxcompress.kernels import AbstractActivation, activations
from jaxcompress.networks._network import AbstractNetwork, preactivations


class TwoLayer(AbstractNetwork):
    """A network of one hidden layer: `f(x) = Σ_i a_i φ(w_i·x + bias_i) + output_bias`.

    Arguments, all arrays of one floating dtype:

    - `weights (n, d)`, one row a neuron;
    - `readout (n,)` for one output, or `(n, o)` for several;
    - `bias (n,)`, or `None`;
    - `output_bias ()` or `(o,)`, or `None`;
    - `activation`, one of `jaxcompress.activations` (static).

    Many networks at once are a batch: all arrays have the same leading axes, `weights (runs, n, d)`
    and so on, and `networks[i]` is one of them. Leaves flatten in the order weights, readout, bias,
    output_bias.
    Raises `ValueError` when shapes or dtypes do not fit together.

    >>> import jax.numpy as jnp
    >>> from jaxcompress.networks import TwoLayer
    >>> float(TwoLayer(jnp.eye(2), jnp.ones(2))(jnp.asarray([3.0, -1.0])))
    3.0
    """

    weights: Float[Array, "*runs n d"]
    readout: Float[Array, "*runs n"] | Float[Array, "*runs n o"]
    bias: Float[Array, "*runs n"] | None
    output_bias: Float[Array, "*runs"] | Float[Array, "*runs o"] | None
    activation: AbstractActivation = eqx.field(static=True)

    def __init__(
        self,
        weights: Float[Array, "*runs n d"],
        readout: Float[Array, "*runs n"] | Float[Array, "*runs n o"],
        bias: Float[Array, "*runs n"] | None = None,
        output_bias: Float[Array, "*runs"] | Float[Array, "*runs o"] | None = None,
        activation: AbstractActivation = activations.relu,
    ):
        self.weights = as_array("TwoLayer", "weights", weights)
        self.readout = as_array("TwoLayer", "readout", readout)
        self.bias = None if bias is None else as_array("TwoLayer", "bias", bias)
        self.output_bias = (
            None if output_bias is None else as_array("TwoLayer", "output_bias", output_bias)
        )
        self.activation = activation
        self._check("weights (n, d)", "bias (n,)")

    def parameters(self) -> dict[str, Array]:
        named = {
            name: getattr(self, name) for name in ("weights", "readout", "bias", "output_bias")
        }
        return {name: array for name, array in named.items() if array is not None}

    def hidden(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch n"]:
        return self.activation(preactivations(x, self.weights, self.bias))
