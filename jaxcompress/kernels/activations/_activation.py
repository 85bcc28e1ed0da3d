"""What an activation is."""

import abc
import math
import numbers
from collections.abc import Callable, Iterable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels.activations._terms import UNIT, Kink, Term, Terms, scaled, simplified
from jaxcompress.special import normal_cdf, normal_pdf, sign_mean


class AbstractActivation(eqx.Module):
    """A real function of one real variable, applied to pre-activations entry by entry.

    Two instances that compare equal have the same kernels; an activation is static (hashable, holds
    no arrays), so it may be closed over, passed as a static argument and compared at trace time.
    Activations can be added, subtracted and scaled by numbers: `2 * relu - identity`.

    To add one of your own, subclass this with `__call__` and `derivative`; its kernels are then
    computed by quadrature (`elementwise` does the same for a function). `terms` is for functions
    with closed forms.

    >>> from jaxcompress import activations
    >>> f = 2 * activations.relu - activations.identity
    >>> float(f(-3.0)), f == activations.abs
    (3.0, False)
    """

    @abc.abstractmethod
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Apply the function to every entry of `x`."""

    def derivative(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The derivative, entry by entry; by automatic differentiation unless it is stated."""
        return entrywise_derivative(self, x)

    @property
    def terms(self) -> Terms | None:
        """The function as a finite sum with closed forms, or `None` where there is none."""
        return None

    @property
    def rough_terms(self) -> Terms | None:
        """A shorter such sum that is off by at most 2e-6, or `None`: flows are computed with it on
        their way, and nothing that is returned."""
        return None

    def __add__(self, other: "AbstractActivation") -> "AbstractActivation":
        return (
            total([(1.0, self), (1.0, other)])
            if isinstance(other, AbstractActivation)
            else NotImplemented
        )

    def __radd__(self, other: object) -> "AbstractActivation":
        return self if other == 0 else NotImplemented  # so that `sum` starts

    def __sub__(self, other: "AbstractActivation") -> "AbstractActivation":
        return (
            total([(1.0, self), (-1.0, other)])
            if isinstance(other, AbstractActivation)
            else NotImplemented
        )

    def __mul__(self, factor: float) -> "AbstractActivation":
        if isinstance(factor, AbstractActivation):
            return NotImplemented
        if not isinstance(factor, numbers.Real) or not math.isfinite(factor):
            raise ValueError(
                f"activations: given a factor {factor!r}; expected a finite Python number, for "
                "activations are static; put traced factors into the readout"
            )
        return total([(float(factor), self)])

    __rmul__ = __mul__

    def __neg__(self) -> "AbstractActivation":
        return total([(-1.0, self)])

    def __truediv__(self, divisor: float) -> "AbstractActivation":
        if not isinstance(divisor, numbers.Real) or divisor == 0:
            raise ValueError(
                f"activations: given a divisor {divisor!r}; expected a Python number that is not "
                "zero"
            )
        return self * (1.0 / divisor)


def check_activation(where: str, f: object) -> None:
    """Raise `ValueError` for what is no activation; `where` is the function that was called."""
    if not isinstance(f, AbstractActivation):
        raise ValueError(
            f"{where}: given the activation {f!r}; expected one of jaxcompress.activations, for "
            "example activations.relu; wrap a function of your own as activations.elementwise(fn)"
        )


def entrywise_derivative(function: Callable[[Array], Array], x: Array) -> Array:
    """The derivative of a function that acts entry by entry."""
    return jax.jvp(function, (x,), (jnp.ones_like(x),))[1]


def second_derivative(f: AbstractActivation, x: Array) -> Array:
    """The second derivative of an activation, entry by entry."""
    return entrywise_derivative(f.derivative, x)


class Relu(AbstractActivation):
    """`x ↦ max(x, 0)`. Its derivative at 0 is stated to be 0."""

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.relu(x)

    @property
    def terms(self) -> Terms:
        return (Term(1.0, power=1, kink=Kink.STEP),)

    def __repr__(self) -> str:
        return "relu"


class Erf(AbstractActivation):
    """`x ↦ erf(x/√2)`, the convention of Saad & Solla 1995: the sign function smoothed by a unit
    Gaussian.
    """

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.lax.erf(x / math.sqrt(2))

    @property
    def terms(self) -> Terms:
        return (Term(1.0, kink=Kink.SIGN, mixture=UNIT),)

    def __repr__(self) -> str:
        return "erf"


class Affine(AbstractActivation):
    """`x ↦ constant + slope·x`. `identity` is (0, 1); (1, 0) is the neuron behind an output
    bias.
    """

    constant: float = eqx.field(static=True, default=0.0)
    slope: float = eqx.field(static=True, default=1.0)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.asarray(self.constant + self.slope * x, dtype=jnp.result_type(x))

    @property
    def terms(self) -> Terms:
        return simplified([Term(self.constant), Term(self.slope, power=1)])

    def __repr__(self) -> str:
        return (
            "identity"
            if (self.constant, self.slope) == (0, 1)
            else f"{self.constant!r} + {self.slope!r}·x"
        )


class Closed(AbstractActivation):
    """A finite sum of terms with closed forms, and nothing else; `summands` where it was made as a
    sum.
    """

    name: str = eqx.field(static=True)
    parts: Terms = eqx.field(static=True)
    summands: tuple[tuple[float, AbstractActivation], ...] = eqx.field(static=True, default=())

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        out = sum((_evaluate(term, x) for term in self.parts), jnp.zeros_like(x))
        return jnp.asarray(out, jnp.result_type(x))

    @property
    def terms(self) -> Terms:
        return self.parts

    def __repr__(self) -> str:
        return self.name


def _evaluate(term: Term, x: Array) -> Array:
    """A term at a point; derivatives of kinks must be smoothed ones."""
    out = jnp.ones_like(x) if term.power == 0 else x**term.power
    if term.kink is not None:
        mixed = zip(term.mixture.shares, term.mixture.widths, strict=True)
        out = out * sum(share * _kink(term.kink, term.order, x, width) for share, width in mixed)
    if not term.rate:
        return term.coefficient * out
    rate, coefficient = complex(term.rate), complex(term.coefficient)
    growth = jnp.exp(rate.real * x) if rate.real else 1.0
    wave = coefficient.real * jnp.cos(rate.imag * x) - coefficient.imag * jnp.sin(rate.imag * x)
    return out * growth * wave


def _kink(kink: Kink, order: int, x: Array, width: float) -> Array:
    if order:  # He_{j−1}, from the derivatives of the normal density
        before, now = jnp.zeros_like(x), jnp.ones_like(x)
        for i in range(order - 1):
            before, now = now, -(x / width) * now - i * before
        return kink.value * now * normal_pdf(x / width) / width**order
    if width == 0.0:
        return jnp.where(x > 0, 1, 0) if kink is Kink.STEP else jnp.sign(x)
    return normal_cdf(x / width) if kink is Kink.STEP else sign_mean(x / width)


class Sum(AbstractActivation):
    """A linear combination of activations, of which at least one has no closed form."""

    parts: tuple[tuple[float, AbstractActivation], ...] = eqx.field(static=True)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return sum((factor * part(x) for factor, part in self.parts), jnp.zeros_like(x))

    def derivative(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return sum((factor * part.derivative(x) for factor, part in self.parts), jnp.zeros_like(x))

    def __repr__(self) -> str:
        return _written((part, factor) for factor, part in self.parts)


def total(parts: list[tuple[float, AbstractActivation]]) -> AbstractActivation:
    """`Σ factor · activation`."""
    flat: dict[AbstractActivation, float] = {}
    for factor, part in parts:
        for inner, each in summands_of(part):
            flat[each] = flat.get(each, 0.0) + factor * inner
    kept = {part: factor for part, factor in flat.items() if factor != 0}
    if list(kept.values()) == [1.0]:
        return next(iter(kept))
    summands = tuple((factor, part) for part, factor in kept.items())
    if all(part.terms is not None for part in kept):
        terms = simplified(
            [term for part, factor in kept.items() for term in scaled(part.terms or (), factor)]
        )
        return Closed(_written(kept.items()), terms, summands)
    return Sum(summands)


def summands_of(f: AbstractActivation) -> tuple[tuple[float, AbstractActivation], ...]:
    """What an activation is the weighted sum of; itself, once, where it was not made as a sum."""
    parts = f.parts if isinstance(f, Sum) else f.summands if isinstance(f, Closed) else ()
    return parts or ((1.0, f),)


def _written(parts: Iterable[tuple[AbstractActivation, float]]) -> str:
    return (
        " + ".join(f"{part}" if factor == 1 else f"{factor!r}*{part}" for part, factor in parts)
        or "0*identity"
    )
