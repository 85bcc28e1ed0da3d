"""The language in which activations with closed forms are written: finite sums of terms, closed
under derivatives.

A term is `coefficient · x^power · e^{rate·x} · K(x)`, with `K` one or the derivative of some order
of a kink (a step or the sign) that a Gaussian has smoothed: `K_ν(x) = E K(x + νZ)`. A mixture of
kinks, `Σ_j share_j K_{ν_j}(x)`, counts as one term. Complex terms stand for their real parts: `sin
x = Re(−i e^{ix})`. ReLU is `x·step(x)`, GELU `x·step_1(x)`, the Gaussian bump `√(2π)·step_1′(x)`.
"""

import enum
import math
from typing import NamedTuple


class Kink(enum.Enum):
    """What jumps at zero; its value is the height of the jump."""

    STEP = 1
    SIGN = 2


class ScaleMixture(NamedTuple):
    """Widths `ν_j` of smoothing Gaussians, and the share that each has; a single width of zero is
    the kink itself.
    """

    shares: tuple[float, ...] = (1.0,)
    widths: tuple[float, ...] = (0.0,)

    @property
    def sharp(self) -> bool:
        """Whether nothing is smoothed."""
        return self.widths == (0.0,)


SHARP = ScaleMixture()
UNIT = ScaleMixture(widths=(1.0,))


class Term(NamedTuple):
    """One term. `order` is that of the kink's derivative; without a kink, `mixture` has no
    meaning.
    """

    coefficient: complex
    power: int = 0
    rate: complex = 0.0
    kink: Kink | None = None
    order: int = 0
    mixture: ScaleMixture = SHARP

    @property
    def smooth(self) -> bool:
        """Whether this is a polynomial times an exponential."""
        return self.kink is None

    @property
    def shape(self) -> tuple:
        """Everything but the coefficient."""
        return self[1:]


Terms = tuple[Term, ...]


def simplified(terms: list[Term]) -> Terms:
    """Equal shapes added up, `x^m δ⁽ʲ⁾(x)` of sharp kinks rewritten, zeros left out."""
    sums: dict[tuple, complex] = {}
    for given in terms:
        term = _settled(given)
        if term is not None:
            sums[term.shape] = sums.get(term.shape, 0) + term.coefficient
    return tuple(
        Term(coefficient, *shape) for shape, coefficient in sums.items() if coefficient != 0
    )


def _settled(term: Term) -> Term | None:
    """`x^m δ⁽ʲ⁾ = (−1)^m j!/(j−m)! δ⁽ʲ⁻ᵐ⁾`, or nothing for `m > j`."""
    if term.order == 0 or term.power == 0 or not term.mixture.sharp:
        return term
    left = falling(term.order - 1, term.power)
    return (
        term._replace(coefficient=term.coefficient * left, power=0, order=term.order - term.power)
        if left
        else None
    )


def falling(j: int, m: int) -> int:
    """`(−1)^m j!/(j−m)!`, zero for `m > j`."""
    return (-1) ** m * math.perm(j, m)


def derivative(terms: Terms, times: int = 1) -> Terms:
    """The derivative, in the sense of distributions where kinks are sharp."""
    for _ in range(times):
        parts = []
        for term in terms:
            if term.power:
                parts.append(
                    term._replace(coefficient=term.coefficient * term.power, power=term.power - 1)
                )
            if term.rate:
                parts.append(term._replace(coefficient=term.coefficient * term.rate))
            if term.kink is not None:
                parts.append(term._replace(order=term.order + 1))
        terms = simplified(parts)
    return terms


def scaled(terms: Terms, factor: float) -> Terms:
    """A multiple."""
    return simplified([term._replace(coefficient=factor * term.coefficient) for term in terms])
