"""Activations that users bring."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_integer
from jaxcompress.kernels.activations._activation import AbstractActivation, entrywise_derivative

# Nodes a dimension that are enough for most functions (`_quadrature.rule`).
DEFAULT_NODES = 65


class Elementwise(AbstractActivation):
    """A function of the user's. Its kernels are computed by quadrature with `nodes` nodes a
    dimension.
    """

    function: Callable = eqx.field(static=True)
    stated: Callable | None = eqx.field(static=True)
    nodes: int = eqx.field(static=True)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return _applied(self.function, x)

    def derivative(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        if self.stated is None:
            return entrywise_derivative(self, x)
        return _applied(self.stated, x)

    def __repr__(self) -> str:
        return f"elementwise({getattr(self.function, '__name__', self.function)})"


def elementwise(
    fn: Callable, derivative: Callable | None = None, *, nodes: int = DEFAULT_NODES
) -> AbstractActivation:
    """Any real function of one real variable as an activation; its kernels are computed by
    quadrature.

    Arguments: `fn`, which maps a float array entry by entry (or a number to a number), and must be
    smooth: write kinks as sums with `relu` and its kin; its `derivative`, by automatic
    differentiation when left out (the second one always is); `nodes`, a dimension. All static: pass
    the same function object again to compile once. `kernels.gram_error` estimates what the rule
    leaves: little for smooth functions (tanh at standard deviation 3: 5e-11), up to 1e-2 against a
    kinked partner whose neuron coincides.
    Raises `ValueError` for what is no such function.

    >>> import jax.numpy as jnp
    >>> from jaxcompress import activations
    >>> swish = activations.elementwise(lambda x: x / (1 + jnp.exp(-x)))
    >>> round(float(swish(1.0)), 4)
    0.7311
    """
    for name, given in (("fn", fn), ("derivative", derivative)):
        if name == "fn" or given is not None:
            _check(name, given)
    count = as_integer(nodes)
    if count is None or not (33 <= count <= 1025 and count % 2):
        raise ValueError(
            f"elementwise: given nodes={nodes!r}; expected an odd number from 33 to 1025; leave it "
            "out"
        )
    return Elementwise(fn, derivative, count)


def _check(name: str, given: Callable | None) -> None:
    if not callable(given) or isinstance(given, AbstractActivation):
        kind = "an activation already" if isinstance(given, AbstractActivation) else f"{given!r}"
        raise ValueError(f"elementwise: given {name}, {kind}; expected a function such as jnp.tanh")
    try:
        out = jax.eval_shape(lambda x: _applied(given, x), jax.ShapeDtypeStruct((3,), jnp.float32))
    except Exception as error:  # whatever a user's function raises is the reason to refuse it
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"elementwise: given {name}, which fails on an array of three floats and on a single "
            f"one ({reason}); expected a function of one real variable written with jax.numpy"
        ) from None
    shape, dtype = getattr(out, "shape", None), getattr(out, "dtype", None)
    if shape != (3,) or dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"elementwise: given {name}, which maps float32 of shape (3,) to {dtype} of shape "
            f"{shape}; expected real numbers of the same shape, entry by entry"
        )
    try:
        hash(given)
    except TypeError:
        raise ValueError(
            f"elementwise: given {name}, which cannot be hashed; expected a function without "
            "arrays of its own, for it decides what is compiled; write a plain function"
        ) from None
    with jax.ensure_compile_time_eval():
        points = jnp.asarray([-1.5, 0.25, 2.0], jnp.float32)
        together, apart = (
            _applied(given, points),
            jnp.concatenate([_applied(given, point[None]) for point in points]),
        )
    if not np.allclose(together, apart, rtol=1e-4, atol=1e-5, equal_nan=True):
        raise ValueError(
            f"elementwise: given {name}, which maps {points} to {together} together and to {apart} "
            "one by one; expected a function of one number, applied entry by entry"
        )


def _applied(fn: Callable, x: Array) -> Array:
    """The function on an array, entry by entry if it takes no arrays."""
    shape = jnp.shape(x)
    try:
        out = fn(x)
    except (TypeError, ValueError, jax.errors.JAXTypeError):
        out = jax.vmap(fn)(jnp.ravel(x)).reshape(shape)
    return (
        jnp.asarray(out, jnp.result_type(x))
        if jnp.issubdtype(jnp.result_type(out), jnp.floating)
        else out
    )
