"""Traits of activations: closed forms answer as values do, without being evaluated, and no other
part of the package looks inside an activation.
"""

import ast
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress
from jaxcompress import activations as af
from jaxcompress.kernels.internal import (
    derivative_bounds,
    has_closed_form,
    kink_order,
    kinked,
    second_derivative,
    traits,
)

PACKAGE = pathlib.Path(jaxcompress.__file__).parent

# degree, parity, constant, slope, vanishes, polynomial, lowest derivative that jumps
KNOWN = {
    af.identity: (1, -1, 0, 0, True, True, None),
    af.relu: (1, 1, 0, 0.5, True, False, 1),
    af.leaky_relu(0.01): (1, 1, 0, 0.505, True, False, 1),
    af.abs: (1, 1, 0, 0, True, False, 1),
    2 * af.relu - af.identity: (1, 1, 0, 0, True, False, 1),
    af.step: (0, -1, 0.5, 0, True, False, 0),
    af.sign: (0, -1, 0, 0, True, False, 0),
    af.rectified_power(2): (2, 0, 0, 0, True, False, 2),
    af.monomial(0): (0, -1, 1, 0, False, True, None),
    af.monomial(3): (3, -1, 0, 0, True, True, None),
    af.hermite(2): (None, 1, 0, 0, False, True, None),
    af.hermite(1) + 0.3 * af.hermite(3): (None, -1, 0, 0, True, True, None),
    0 * af.relu: (0, -1, 0, 0, True, True, None),
    af.erf: (None, -1, 0, 0, True, False, None),
    af.tanh: (None, -1, 0, 0, True, False, None),
    af.normal_cdf: (None, -1, 0.5, 0, False, False, None),
    af.sigmoid: (None, -1, 0.5, 0, False, False, None),
    af.sigmoid - 0.5 * af.monomial(0): (None, -1, 0, 0, True, False, None),
    af.gelu: (None, 1, 0, 0.5, True, False, None),
    af.silu: (None, 1, 0, 0.5, True, False, None),
    af.softplus: (None, 1, 0, 0.5, False, False, None),
    af.bump(): (None, 1, 0, 0, False, False, None),
    af.sin: (None, -1, 0, 0, True, False, None),
    af.cos: (None, 1, 0, 0, False, False, None),
    af.exp: (None, 0, 0, 0, False, False, None),
    af.exp - af.monomial(0): (None, 0, 0, 0, True, False, None),
    af.tanh + af.relu: (None, 0, 0, 0, True, False, 1),
}


def by_hand(f):
    """The same function, of which nothing is known but its values."""
    return af.elementwise(lambda x: f(x))


@pytest.mark.parametrize("f", KNOWN, ids=repr)
def test_traits_are_those_of_the_closed_form(f):
    degree, parity, constant, slope, vanishes, polynomial, order = KNOWN[f]
    found = traits(f)
    assert found.degree == degree
    assert (found.parity, found.vanishes, found.polynomial) == (parity, vanishes, polynomial)
    assert (found.constant, found.slope) == (constant, slope)
    assert kink_order(f) == order
    assert kinked(f) == (order in (0, 1))


@pytest.mark.parametrize("f", KNOWN, ids=repr)
def test_values_say_the_same_as_closed_forms(f):
    stated, found = traits(f), traits(by_hand(f))
    assert found.degree == stated.degree
    assert found.parity == stated.parity
    assert (found.constant, found.slope) == pytest.approx(
        (stated.constant, stated.slope), abs=1e-15
    )
    assert not found.polynomial
    if f != af.sigmoid - 0.5 * af.monomial(0):  # whose value at zero is rounding
        assert found.vanishes == stated.vanishes
    assert kinked(by_hand(f)) == kinked(f)


def test_a_degree_need_not_be_whole():
    f = af.elementwise(lambda x: jnp.where(x > 0, jnp.abs(x) ** 1.5, 0.0))
    assert traits(f).degree == 1.5


def test_closed_forms_are_not_evaluated(monkeypatch):
    def refuse(self, x):
        raise AssertionError("evaluated")

    fresh = [3.25 * af.relu + 0.5 * af.erf, 1.25 * af.cos, 0.75 * af.relu]
    for f in fresh:
        monkeypatch.setattr(type(f), "__call__", refuse)
        traits(f), kink_order(f), kinked(f), has_closed_form(f)


def test_traits_can_be_asked_for_under_a_trace():
    f = af.elementwise(lambda x: jnp.tanh(1.75 * x))

    def traced(x):
        return x * traits(f).parity * traits(af.relu).degree

    assert float(jax.jit(traced)(2.0)) == -2.0


def test_a_narrow_bump_has_the_bounds_of_its_width():
    width = 1e-4
    first, second = derivative_bounds(af.bump(width))
    assert first == pytest.approx(math.exp(-0.5) / width, rel=1e-9)
    assert second == pytest.approx(width**-2, rel=1e-9)
    assert not kinked(af.bump(width))


def test_second_derivatives_are_those_of_differences():
    x = jnp.asarray([-0.8, 0.3, 1.9])
    h = 1e-4
    for f in (af.tanh, af.gelu, by_hand(af.erf)):
        wanted = (f(x + h) - 2 * f(x) + f(x - h)) / h**2
        np.testing.assert_allclose(second_derivative(f, x), wanted, atol=1e-7)  # measured 2e-8


def test_names_that_have_changed_work_on_and_say_the_new_one():
    from jaxcompress import kernels, landscape
    from jaxcompress.kernels import internal

    for module, old, new in (
        (kernels, "slope", kernels.derivative_of),
        (kernels, "rests", internal.hermite_remainder),
        (kernels, "BEND", internal.SECOND_DERIVATIVE),
        (kernels, "frames", internal.frames),
        (landscape, "Row", landscape.CensusRow),
    ):
        with pytest.warns(DeprecationWarning, match=new.__name__ if callable(new) else "SECOND"):
            assert getattr(module, old) is new
        assert old not in module.__all__


# One place
# --------------------------------------------------------------------------------------------------

CLASSES = {"Affine", "Closed", "Elementwise", "Erf", "Relu", "Sum", "Sigmoid", "Silu", "Softplus"}
# Files outside of `kernels` that look at the class or the terms of an activation, and why none of
# that asks for a trait: all of them choose a formula that holds for one function.
ALLOWED = {
    "infinite_width/_targets.py": "ReLU with ReLU has a shorter formula",
    "networks/_expected.py": "expectations over laws of weights are known term by term",
    "risk/_meetings.py": "a constant is folded into the formulas of kinks, not of other terms",
    "risk/_terms.py": "quadrature has no exact table of own pairs",
    "sectors/_starts.py": "the best neuron for many is a formula for each of the two functions",
    "theory/_copy_average.py": "erf is closed under Gaussian averages: nothing to measure",
    "theory/_one_neuron.py": "two functions have closed forms of their own",
}


def looks_inside(source):
    """Whether a source tests the class of an activation, compares it by name, or reads its
    terms.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
            names = {each.id for each in ast.walk(node.args[1]) if isinstance(each, ast.Name)}
            if names & CLASSES:
                return True
        if isinstance(node, ast.MatchClass) and getattr(node.cls, "id", "") in CLASSES:
            return True
        if isinstance(node, ast.Attribute) and node.attr == "terms":
            return True
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(isinstance(s, ast.Attribute) and _is_activations(s.value) for s in sides):
                return True
    return False


def _is_activations(node):
    return (isinstance(node, ast.Name) and node.id == "activations") or (
        isinstance(node, ast.Attribute) and node.attr == "activations"
    )


def test_no_other_subpackage_looks_inside_an_activation():
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] != "kernels" and looks_inside(path.read_text())
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    "line",
    [
        "x = isinstance(f, Relu)",
        "x = isinstance(net.activation, (Erf, Relu))",
        "x = isinstance(f, Erf | Relu)",
        "match f:\n    case Relu():\n        x = 1",
        "x = any(term.kink for term in f.terms)",
        "x = f == activations.relu",
        "x = jc.activations.relu != f",
    ],
)
def test_a_look_inside_an_activation_is_noticed(line):
    assert looks_inside(line)
