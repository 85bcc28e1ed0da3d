"""What is left of a target of many generic neurons: `TargetMoments`, its lowest Hermite orders.

Letters as in `_moments`, which measures them.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array, check_floating, check_run
from jaxcompress._internal.deprecation import renamed_attribute


class TargetMoments(eqx.Module):
    """What the simplified risk knows of a target: its Hermite orders 0, 1 and perhaps 2, and its
    second moment.

    `constant = E f*`, `() or (o,)`; `linear = E f* z`, `(r,) or (o, r)`; `quadratic = E f* (zzᵀ −
    I)`, `(r, r)` or `(o, r, r)`, or `None` for `order` 1; leading axes on all of them are a batch
    of targets. `z` are the standard normal inputs: under a distribution `x = mean + factor·z` the
    moments are those of `z`, and a student is compared under the same distribution. `second_moment
    = E|f*|²`, and `second_moment_error`, what it may be off by: rounding where all pairs were
    summed, one standard error where they were sampled. For ReLU without biases and `S = Σ
    b_i|v_i|`, `t = Σ b_i v_i` these are `S/√(2π)` and `t/2` (`relu_moments`).
    Example: that of `relu_moments`.
    """

    constant: Float[Array, "..."]
    linear: Float[Array, "..."]
    quadratic: Float[Array, "..."] | None
    second_moment: Float[Array, "..."]
    second_moment_error: Float[Array, "..."]
    outputs: int | None = eqx.field(static=True, default=None)

    energy = renamed_attribute("energy", "second_moment")
    energy_error = renamed_attribute("energy_error", "second_moment_error")

    def __check_init__(self):
        if not all(hasattr(array, "shape") for array in self.parameters().values()):
            return  # placeholders, as transformations make them
        shapes: dict[str, tuple] = {name: array.shape for name, array in self.parameters().items()}
        runs, outputs = shapes["second_moment"], () if self.outputs is None else (self.outputs,)
        dim = shapes["linear"][-1:]
        expected = {
            "constant": runs + outputs,
            "linear": runs + outputs + dim,
            "quadratic": runs + outputs + 2 * dim,
        }
        wrong = [name for name, shape in expected.items() if shapes.get(name, shape) != shape]
        if wrong or not dim or shapes["second_moment_error"] != runs:
            raise ValueError(
                f"TargetMoments: given {shapes} with outputs={self.outputs}; expected constant () "
                "or (o,), linear (d,) or (o, d), quadratic (d, d) or (o, d, d), second "
                "moments (), and the same leading axes on all of them"
            )

    @property
    def order(self) -> int:
        """The highest Hermite order that is kept."""
        return 1 if self.quadratic is None else 2

    @property
    def dim(self) -> int:
        """The dimension of the standard normal inputs."""
        return self.linear.shape[-1]

    def __getitem__(self, run) -> "TargetMoments":
        """One target of a batch, or some.
        Raises `ValueError` for one target, `IndexError` for a number outside of the batch.
        """
        check_run("TargetMoments", run, self.runs)
        return jax.tree.map(lambda leaf: leaf[run], self)

    @property
    def runs(self) -> tuple[int, ...]:
        """The leading axes of a batch."""
        return self.second_moment.shape

    def parameters(self) -> dict[str, Array]:
        """The arrays that are there, by name."""
        named = {
            name: getattr(self, name)
            for name in ("constant", "linear", "quadratic", "second_moment", "second_moment_error")
        }
        return {name: array for name, array in named.items() if array is not None}

    def with_outputs(
        self,
    ) -> tuple[
        Float[Array, "*runs o"], Float[Array, "*runs o r"], Float[Array, "*runs o r r"] | None
    ]:
        """Constant, linear and quadratic, a scalar output with its axis."""
        parts = self.constant, self.linear, self.quadratic
        if self.outputs is not None:
            return parts
        return jax.tree.map(lambda leaf: jnp.expand_dims(leaf, self.second_moment.ndim), parts)


def orders_second_moment(
    constant: Array, linear: Array, quadratic: Array | None
) -> Float[Array, ""]:
    """`E |C + T·z + ½⟨Q, zzᵀ − I⟩|²`, summed over outputs."""
    squares = jnp.sum(constant**2) + jnp.sum(linear**2)
    return squares if quadratic is None else squares + 0.5 * jnp.sum(quadratic**2)


def relu_moments(total: Float[Array, ""], direction: Float[Array, " d"]) -> TargetMoments:
    """The moments of a ReLU target of many neurons by `S = Σ b_i|v_i|` and `t = Σ b_i v_i`, in
    which they are written.

    Arguments: `total = S`, a number; `direction = t (d,)`.
    Returns `TargetMoments` of order 1, whose second moment is that of these orders alone, `S²/(2π)
    + |t|²/4`.

    >>> import jax.numpy as jnp
    >>> from jaxcompress.networks import relu_moments
    >>> round(float(relu_moments(jnp.asarray(2.0), jnp.asarray([1.0, 0.0])).second_moment), 4)
    0.8866
    """
    linear = as_array("relu_moments", "direction", direction) / 2
    check_floating("relu_moments", direction=linear)
    if linear.ndim != 1:
        raise ValueError(
            f"relu_moments: given a direction of shape {linear.shape}; expected (d,); use jax.vmap"
        )
    constant = jnp.asarray(total, linear.dtype) / math.sqrt(2 * math.pi)
    if constant.ndim:
        raise ValueError(
            f"relu_moments: given a total of shape {constant.shape}; expected a number; use "
            "jax.vmap"
        )
    second_moment = orders_second_moment(constant, linear, None)
    return TargetMoments(
        constant, linear, None, second_moment, 4 * jnp.finfo(linear.dtype).eps * second_moment
    )
