"""Coefficients of an expansion in powers of `1/k`, or of `1/√k`, from values at several `k`."""

import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_integer


class Expansion(NamedTuple):
    """`Σ_j coefficients_j k^exponents_j`, and how far one more term moves each coefficient:
    `errors`, signless.
    """

    coefficients: Float[np.ndarray, " terms"]
    exponents: Float[np.ndarray, " terms"]
    errors: Float[np.ndarray, " terms"]


def fit_expansion(
    sizes: Sequence[int],
    values: Float[Array, " sizes"],
    *,
    terms: int,
    step: float = 1.0,
    leading: float = 0.0,
) -> Expansion:
    """Fit `values ≈ Σ_{j < terms} c_j k^{leading − j·step}` at `sizes`, to equal relative accuracy
    at all sizes.

    With `κ` the smallest size, the unknowns are `c_j κ^{−j·step}` and the columns `(κ/k)^{j·step}`,
    between 0 and 1, solved for by singular values. Sizes that span a factor of 10 to 100 do best.
    Arguments: `sizes (m,)` and `values (m,)`, `m > terms`; `step`, ½ for an expansion in `1/√k`;
    `leading`, the first exponent.
    Returns an `Expansion` in float64. The errors are the differences to a fit with one term more:
    they show what is left out, and rounding, which both spoil the last terms first.
    Raises `ValueError` for fewer than `terms + 1` different sizes, or for a step that is not
    positive and finite.
    Where it fails: an exponent that is not there (`1/√k` fitted with `step = 1`) shows as errors
    that do not fall with the number of terms.
    """
    k, y, count = np.asarray(sizes, np.float64), np.asarray(values, np.float64), as_integer(terms)
    if not (np.all(np.isfinite(k)) and np.all(np.isfinite(y))):
        raise ValueError(
            "fit_expansion: given NaN or infinite entries; expected finite ones; leave out what "
            "was lost"
        )
    few = count is None or count < 1 or len(np.unique(k)) <= count
    if k.ndim != 1 or y.shape != k.shape or few or k.min() <= 0 or not 0 < step < math.inf:
        raise ValueError(
            f"fit_expansion: given sizes {k.shape}, values {y.shape}, terms={terms!r}, "
            f"step={step!r}; expected as many positive sizes as values, more of them different "
            "than terms (a whole number from 1), and a positive, finite step; add sizes"
        )
    terms = operator.index(terms)
    smallest = k.min()
    scaled = y * k**-leading
    powers = np.arange(terms + 1) * step
    columns = (smallest / k)[:, None] ** powers
    back = smallest**powers
    one, two = (
        np.linalg.lstsq(columns[:, :count], scaled, rcond=None)[0] * back[:count]
        for count in (terms, terms + 1)
    )
    return Expansion(one, leading - powers[:terms], np.abs(one - two[:terms]))
