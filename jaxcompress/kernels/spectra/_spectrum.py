"""The spectrum of an activation: the sum of those of what it is made of."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcompress.kernels.activations._activation import AbstractActivation, Closed, summands_of
from jaxcompress.kernels.activations._terms import Term
from jaxcompress.kernels.spectra._kinks import Kinks
from jaxcompress.kernels.spectra._part import AbstractPart
from jaxcompress.kernels.spectra._sampled import Sampled
from jaxcompress.kernels.spectra._smooth import Exponential, Polynomial


class Spectrum(NamedTuple):
    """The parts of an activation."""

    parts: tuple[AbstractPart, ...]

    def start(self, mean: Float[Array, " n"] | None, std: Float[Array, " n"]) -> Any:
        """What is known before the first coefficient; means that are `None` are exactly zero."""
        return [part.start(mean, std) for part in self.parts]

    def step(self, state: Any, k: Int[Array, ""]) -> tuple[Any, Float[Array, " n"]]:
        """The coefficient of degree `k`, after those of all lower degrees."""
        pairs = [part.step(each, k) for part, each in zip(self.parts, state, strict=True)]
        c = functools.reduce(jnp.add, [c for _, c in pairs])
        return [later for later, _ in pairs], c

    def rest(self, state: Any, k: Int[Array, ""]) -> Float[Array, " n"]:
        """A bound of `√(Σ_{j ≥ k} c_j²)`: parts add up at worst."""
        rests = [part.rest(each, k) for part, each in zip(self.parts, state, strict=True)]
        return functools.reduce(jnp.add, rests)

    def run(self, state: Any, k: Int[Array, ""], count: int) -> tuple[Any, Float[Array, "count n"]]:
        """So many coefficients from degree `k` on."""

        def step(carry, _):
            state, k = carry
            state, c = self.step(state, k)
            return (state, k + 1), c

        (state, _), rows = jax.lax.scan(step, (state, k), None, length=count)
        return state, rows


@functools.lru_cache(maxsize=1024)
def spectrum_of(f: AbstractActivation) -> Spectrum:
    """The spectrum of an activation, whatever it is."""
    parts: list[AbstractPart] = []
    terms: list[Term] = []
    for factor, part in ((1.0, f),) if f.terms is not None else summands_of(f):
        if part.terms is None:
            parts.append(Sampled(factor, part))
        else:
            terms += [t._replace(coefficient=factor * t.coefficient) for t in part.terms]
    kinks: dict[tuple[float, ...], list[Term]] = {}
    powers: list[Term] = []
    for term in terms:
        if term.kink is not None and not term.rate:
            kinks.setdefault(term.mixture.widths, []).append(term)
        elif term.kink is None and not term.rate:
            powers.append(term)
        elif term.kink is None and not term.power:
            parts.append(Exponential(term))
        else:
            parts.append(Sampled(1.0, Closed("term", (term,))))
    parts += [Kinks(some) for some in kinks.values()]
    if powers:
        parts.append(Polynomial(powers))
    return Spectrum(tuple(parts))
