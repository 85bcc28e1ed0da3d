"""The one model of the package."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractActivation, activations, check_floating


class TwoLayer(eqx.Module):
    """A network of one hidden layer: `f(x) = Σ_i a_i φ(w_i·x + bias_i) + output_bias`.

    Arguments, all arrays of one floating dtype:
    `weights (n, d)`, one row a neuron; `readout (n,)` for one output or `(n, o)` for several; `bias (n,)` or
    `None`; `output_bias ()` or `(o,)` or `None`; `activation`, one of `jaxcompress.activations` (static).
    Many networks at once carry the same leading axes on every array: `weights (runs, n, d)` and so on.
    Leaves flatten in the order weights, readout, bias, output_bias.
    Raises `ValueError` when shapes or dtypes do not fit together.
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
        self.weights = jnp.asarray(weights)
        self.readout = jnp.asarray(readout)
        self.bias = None if bias is None else jnp.asarray(bias)
        self.output_bias = None if output_bias is None else jnp.asarray(output_bias)
        self.activation = activation
        self._check()

    def _check(self) -> None:
        check_floating("TwoLayer", **self.parameters())
        if not isinstance(self.activation, AbstractActivation):
            raise ValueError(
                f"TwoLayer: given activation {self.activation!r}; expected one of jaxcompress.activations, "
                "for example jaxcompress.activations.relu"
            )
        shapes = {name: array.shape for name, array in self.parameters().items()}
        *leading, neurons = shapes["weights"][:-1] or [None]
        runs = tuple(leading)
        one, several = (*runs, neurons), self.readout.ndim == len(runs) + 2
        fits = (
            self.weights.ndim >= 2
            and neurons > 0
            and shapes["readout"][: len(one)] == one
            and (self.readout.ndim == len(one) or several)
            and shapes.get("bias", one) == one
            and shapes.get("output_bias", out := runs + shapes["readout"][len(one) :]) == out
        )
        if not fits:
            raise ValueError(
                f"TwoLayer: given {', '.join(f'{name} {shape}' for name, shape in shapes.items())}; expected "
                "weights (n, d) with n ≥ 1, readout (n,) or (n, o), bias (n,), output_bias () or (o,), "
                "with the same leading axes on all; transpose or reshape what differs"
            )

    def parameters(self) -> dict[str, Array]:
        """The arrays that are there, by name, in the order in which they flatten."""
        named = {name: getattr(self, name) for name in ("weights", "readout", "bias", "output_bias")}
        return {name: array for name, array in named.items() if array is not None}

    @property
    def width(self) -> int:
        """Number of hidden neurons `n`."""
        return self.weights.shape[-2]

    @property
    def dim(self) -> int:
        """Input dimension `d`."""
        return self.weights.shape[-1]

    @property
    def outputs(self) -> int | None:
        """Number of outputs `o`, or `None` for a scalar output."""
        return None if self.readout.ndim == self.weights.ndim - 1 else self.readout.shape[-1]

    def __call__(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch"] | Float[Array, "*batch o"]:
        """Evaluate the network: `x (..., d)` to `(...,)`, or `(..., o)` for several outputs."""
        hidden = jnp.asarray(x) @ self.weights.T
        if self.bias is not None:
            hidden = hidden + jnp.broadcast_to(self.bias, hidden.shape)
        out = self.activation(hidden) @ self.readout
        return out if self.output_bias is None else out + jnp.broadcast_to(self.output_bias, out.shape)
