"""One neuron and copy–average: closed forms against mpmath, predictions against gradients, claims
by counting.

The oracles share no formula with the package: mpmath for what is closed, tensor Gauss–Hermite rules
in NumPy with SciPy's scalar minimisation for what is not.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special
from mpmath import mp, mpf

import jaxcompress as jc
from jaxcompress import activations as act
from jaxcompress.theory import (
    best_partition,
    copy_average,
    copy_average_risk,
    one_neuron,
    partitions,
    rank_partitions,
)
from jaxcompress.theory._averaging import best_neuron

MANY = [1, 2, 3, 5, 20, 1000, 10**6, 10**9, 10**12]
LARGEST = 12
EVERY = [
    (k, each) for k in range(1, LARGEST + 1) for n in range(1, k + 1) for each in partitions(n, k)
]


def exact_erf(k):
    """Scale and risk by mpmath."""
    k = mpf(k)
    return 1 / mp.sqrt(k * (2 * k - 1)), k / 3 - 2 / mp.pi * k * k * mp.asin(1 / (2 * k))


def exact_relu(k):
    k, u = mpf(k), 1 / mp.sqrt(mpf(k))
    mass = 2 * k * (mp.sqrt(1 - u * u) + u * (mp.pi - mp.acos(u))) / (2 * mp.pi)
    return mp.sqrt(mass) / mp.sqrt(k), k / 2 + k * (k - 1) / (2 * mp.pi) - mass**2 / 2


risk_and_slope = jax.jit(jax.value_and_grad(jc.population_risk))


def risk_and_steepest(network, target):
    """The risk, and the largest entry of its gradient."""
    risk, slope = risk_and_slope(network, target)
    return float(risk), max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(slope))


def against(f, k, found):
    """The network of one neuron, and its target."""
    target = jc.targets.orthonormal(k, k + 1, activation=f)
    weights = found.scale * target.weights.sum(0, keepdims=True)
    return jc.TwoLayer(weights, found.readout[None], activation=f), target


@pytest.mark.parametrize(
    ("f", "oracle"), [(act.erf, exact_erf), (act.relu, exact_relu)], ids=["erf", "relu"]
)
def test_the_closed_forms_are_right_to_rounding_for_every_k(f, oracle):
    for k in MANY:
        found = one_neuron(f, k)
        with mp.workdps(60):
            scale, risk = (float(part) for part in oracle(k))
        if k == 1:
            risk = 0.0
        # Worst measured: 5e-16.
        np.testing.assert_allclose([found.scale, found.risk], [scale, risk], rtol=1e-14)
        np.testing.assert_allclose(found.norm, found.scale * k**0.5, rtol=1e-15)
        np.testing.assert_allclose(found.readout, k if f == act.erf else found.norm, rtol=1e-14)


def test_the_recorded_values_are_met():
    for k, risk in {
        2: 0.023221680625336694,
        3: 0.040593177313953954,
        5: 0.07245264520367023,
    }.items():
        assert abs(float(one_neuron(act.erf, k).risk) - risk) < 1e-15
    assert abs(float(one_neuron(act.relu, 5).risk) - 1.560152994504) < 1e-12
    assert abs(float(copy_average_risk(act.erf, (1, 1, 4))) - 0.05675452774074974) < 1e-15
    assert (
        abs(float(copy_average_risk(act.erf, best_partition(act.erf, 6, 8))) - 0.040593177314)
        < 1e-12
    )


def test_the_risk_of_many_erf_neurons_has_the_expansion_that_is_stated():
    for k in (5, 10, 30):
        stated = k * (1 / 3 - 1 / np.pi) - 1 / (24 * np.pi * k) - 3 / (640 * np.pi * k**3)
        # The next term is −(2/π)(5/112)(1/2)⁷/k⁵ = −2.2e-4/k⁵.
        assert 0 < stated - float(one_neuron(act.erf, k).risk) < 2.4e-4 / k**5


@pytest.mark.parametrize(
    ("f", "oracle"), [(act.erf, exact_erf), (act.relu, exact_relu)], ids=["erf", "relu"]
)
def test_the_scan_that_serves_all_activations_finds_the_closed_forms(f, oracle):
    for k in (2, 5, 1000, 10**6, 10**9):
        found = best_neuron(f, k, jnp.float64)
        with mp.workdps(60):
            scale, risk = (float(part) for part in oracle(k))
        # Worst measured: 2e-14. What averages a million odd neurons is linear, and has a readout
        # but no scale.
        assert abs(found.risk / risk - 1) < 1e-13
        if f == act.relu or k < 1e4:
            np.testing.assert_allclose(
                found.scale, scale, rtol=1e-14 + (f == act.erf) * 3e-15 * k**2
            )


def test_normal_cdf_is_erf_by_halves_and_its_mean_costs_nothing():
    for k in (2, 7, 10**5):
        found, erf = one_neuron(act.normal_cdf, k), one_neuron(act.erf, k)
        np.testing.assert_allclose(4 * found.risk, erf.risk, rtol=1e-13)
        np.testing.assert_allclose(found.readout, k, rtol=1e-13 * k)


@pytest.mark.parametrize("f", [act.exp, act.sin], ids=str)
def test_exponentials_and_waves_average_by_the_mean_of_their_inputs(f):
    for k in (2, 3, 1000):
        found = one_neuron(f, k)
        with mp.workdps(40):
            K = mpf(k)
            if f == act.exp:
                risk = K * mp.e**2 + K * (K - 1) * mp.e - K**2 * mp.exp(1 + 1 / K)
            else:
                risk = K * (1 - mp.exp(-2)) / 2 - K**2 * mp.exp(-1) * mp.sinh(1 / K)
        np.testing.assert_allclose(found.scale, 1 / k, rtol=1e-15 * k**2)
        np.testing.assert_allclose(found.risk, float(risk), rtol=1e-13)


@pytest.mark.parametrize("f", [act.abs, act.step, act.rectified_power(2), act.monomial(3)], ids=str)
def test_of_a_homogeneous_activation_the_balanced_neuron_is_taken(f):
    k = 4
    found = one_neuron(f, k)
    u = 1 / mp.sqrt(mpf(k))
    gap = mp.sqrt(1 - u * u)
    # E f(X)f(Y) at correlation u, E f², (E f)².
    cross, own, mean = {
        "abs": (2 / mp.pi * (gap + u * mp.asin(u)), 1, 2 / mp.pi),
        "step": (mpf(1) / 4 + mp.asin(u) / (2 * mp.pi), mpf(1) / 2, mpf(1) / 4),
        "rectified_power(2)": (
            ((1 + 2 * u * u) * (mp.pi - mp.acos(u)) + 3 * u * gap) / (2 * mp.pi),
            1.5,
            mpf(1) / 4,
        ),
        "monomial(3)": (9 * u + 6 * u**3, 15, 0),
    }[repr(f)]
    risk = k * own + k * (k - 1) * mean - (k * cross) ** 2 / own
    np.testing.assert_allclose(found.risk, float(risk), rtol=1e-13)
    np.testing.assert_allclose(found.norm, abs(found.readout), rtol=1e-14)
    power = {"abs": 1, "step": 0, "rectified_power(2)": 2, "monomial(3)": 3}[repr(f)]
    np.testing.assert_allclose(
        found.readout * found.norm**power, float(k * cross / own), rtol=1e-13
    )


NODES, WEIGHTS = (part[:, None] for part in np.polynomial.hermite_e.hermegauss(160))
WEIGHTS = WEIGHTS / WEIGHTS.sum()
# Function and derivative, in NumPy.
SMOOTH = {
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sigmoid": (scipy.special.expit, lambda x: scipy.special.expit(x) * scipy.special.expit(-x)),
    "softplus": (lambda x: np.logaddexp(0, x), scipy.special.expit),
    "silu": (
        lambda x: x * scipy.special.expit(x),
        lambda x: scipy.special.expit(x) * (1 + x * scipy.special.expit(-x)),
    ),
}


def by_rule(name, k, c, a):
    """The risk of `a φ(c Σ v_j x)`, its derivatives by `a` and `log c`, and the best readout, by a
    tensor rule.
    """
    f, slope = SMOOTH[name]
    r = abs(c) * k**0.5
    X = r * NODES
    Y = np.sign(c) / k**0.5 * NODES + (1 - 1 / k) ** 0.5 * NODES.T
    target = f(Y) @ WEIGHTS  # E[φ(Y) | X]
    cross, own = (WEIGHTS * f(X) * target).sum(), (WEIGHTS * f(X) ** 2).sum()
    one, mean = (WEIGHTS * f(NODES) ** 2).sum(), (WEIGHTS * f(NODES)).sum()
    left = a * f(X) - k * target
    by_a, by_c = 2 * (WEIGHTS * left * f(X)).sum(), 2 * a * (WEIGHTS * left * slope(X) * X).sum()
    return (
        a * a * own - 2 * a * k * cross + k * one + k * (k - 1) * mean**2,
        by_a,
        by_c,
        k * cross / own,
    )


@functools.cache
def searched(name, k):
    """The lowest local minimum over `c`, with the best readout."""
    profile = lambda c: by_rule(name, k, c, by_rule(name, k, c, 0.0)[3])[0]  # noqa: E731
    scales = np.geomspace(0.05, 1.5, 30)
    best = int(np.argmin([profile(c) for c in scales[:-1]]))
    bounds = scales[best - 1], scales[best + 1]
    return scipy.optimize.minimize_scalar(
        profile, bounds=bounds, method="bounded", options={"xatol": 1e-10}
    )


@pytest.mark.parametrize(("name", "k"), [("tanh", 3), ("sigmoid", 3), ("softplus", 3), ("silu", 2)])
def test_other_activations_have_the_neuron_that_scipy_finds_and_no_slope_is_left(name, k):
    found = one_neuron(getattr(act, name), k)
    risk, by_a, by_c, _ = by_rule(name, k, float(found.scale), float(found.readout))
    # Worst measured: 5e-15, 4e-15.
    assert abs(risk - float(found.risk)) < 1e-12
    assert max(abs(by_a), abs(by_c)) < 1e-12
    least = searched(name, k)
    assert abs(least.fun - float(found.risk)) < 1e-12
    np.testing.assert_allclose(least.x, float(found.scale), rtol=1e-5)


def test_a_function_of_the_users_is_averaged_by_quadrature():
    found, tanh = one_neuron(act.elementwise(jnp.tanh), 3), one_neuron(act.tanh, 3)
    np.testing.assert_allclose(
        [found.scale, found.readout, found.risk], [tanh.scale, tanh.readout, tanh.risk], rtol=1e-9
    )


@pytest.mark.parametrize("k", [2, 3])
def test_one_gelu_against_several_ends_as_a_relu_of_infinite_norm(k):
    found = one_neuron(act.gelu, k)
    assert (found.scale, found.norm, found.readout) == (np.inf, np.inf, 0)
    x, weights = np.polynomial.legendre.leggauss(200)
    x, weights = 6 * (x + 1), 6 * weights * np.exp(-18 * (x + 1) ** 2) / (2 * np.pi) ** 0.5

    def gelu(y):
        return y * scipy.special.ndtr(y)

    average = (gelu(x[:, None] / k**0.5 + (1 - 1 / k) ** 0.5 * NODES.T) @ WEIGHTS)[:, 0]
    own, mean = (WEIGHTS * gelu(NODES) ** 2).sum(), (WEIGHTS * gelu(NODES)).sum()
    risk = k * own + k * (k - 1) * mean**2 - 2 * (k * (weights * x * average).sum()) ** 2
    np.testing.assert_allclose(found.risk, risk, rtol=1e-12)


def test_where_the_linear_limit_is_best_the_norm_is_zero_and_the_rest_is_lost():
    f = act.identity - 0.1 * act.monomial(3) + 0.05 * act.monomial(5)
    found = one_neuron(f, 100)
    assert (found.scale, found.norm, found.readout) == (0, 0, np.inf)
    # He₃ has 0.4 and He₅ 0.05: 0.16·3! + 0.0025·5! a neuron.
    np.testing.assert_allclose(found.risk, 126, rtol=1e-12)


def test_every_partition_of_twelve_or_fewer_is_critical_for_erf_and_has_the_risk_of_the_sum():
    target = jc.targets.orthonormal(LARGEST, LARGEST, activation=act.erf)

    # The first neurons of a partition of twelve that goes on with copies. Neurons of zero weight
    # and readout change no gradient of erf, nor do targets of no readout: one shape for all.
    def padded(k, partition):
        network = copy_average(target, (*partition, *[1] * (LARGEST - k)))
        mine = np.arange(LARGEST) < len(partition)
        weights, readout = (
            np.resize(part, (LARGEST, *part.shape[1:]))
            for part in (network.weights, network.readout)
        )
        return weights * mine[:, None], readout * mine, np.where(np.arange(LARGEST) < k, 1.0, 0.0)

    assert len(EVERY) == 271
    weights, readouts, targets = (
        jnp.asarray(np.stack(part)) for part in zip(*itertools.starmap(padded, EVERY), strict=True)
    )

    def risk(weights, readout, b):
        student = jc.TwoLayer(weights, readout, activation=act.erf)
        return jc.population_risk(student, jc.TwoLayer(jnp.eye(LARGEST), b, activation=act.erf))

    risks, slopes = jax.jit(jax.vmap(jax.value_and_grad(risk, (0, 1))))(weights, readouts, targets)
    # Worst measured: 1.1e-14, and 2.7e-15 between the risks.
    norms = np.sqrt(np.sum(slopes[0] ** 2, (1, 2)) + np.sum(slopes[1] ** 2, 1))
    assert norms.max() < 1e-12
    np.testing.assert_allclose(
        risks, [copy_average_risk(act.erf, each) for _, each in EVERY], atol=1e-13
    )


def test_one_relu_is_critical_in_all_directions_and_no_search_ends_lower():
    k = 5
    network, target = against(act.relu, k, one_neuron(act.relu, k))
    found, steepest = risk_and_steepest(network, target)
    assert steepest < 1e-14
    risk = float(one_neuron(act.relu, k).risk)
    assert abs(found - risk) < 1e-12

    def profile(w):
        u = w / np.linalg.norm(w)
        h = (np.sqrt(1 - u * u) + u * (np.pi - np.arccos(u))) / (2 * np.pi)
        return k / 2 + k * (k - 1) / (2 * np.pi) - 2 * h.sum() ** 2

    rng = np.random.default_rng(0)
    least = min(
        scipy.optimize.minimize(profile, rng.normal(size=k), options={"gtol": 1e-9}).fun
        for _ in range(5)
    )
    assert abs(least - risk) < 1e-12


@pytest.mark.parametrize("f", [act.sin, act.bump(), act.normal_cdf], ids=str)
def test_groups_of_what_is_closed_under_gaussian_averages_do_not_see_each_other(f):
    target = turned(5, 6, -1.5, f)
    network = copy_average(target, (2, 1, 2))
    found, steepest = risk_and_steepest(network, target)
    assert steepest < 1e-13
    stated = 1.5**2 * float(copy_average_risk(f, (2, 1, 2)))
    assert abs(found - stated) < 1e-13


def turned(k, d, readout, f):
    """An orthonormal target that stands along no axis."""
    rows = np.linalg.qr(np.random.default_rng(1).normal(size=(d, k)))[0].T
    return jc.TwoLayer(jnp.asarray(rows), jnp.full(k, readout), activation=f)


def test_groups_of_relu_see_each_other_so_the_sum_is_refused_and_rightly():
    target = jc.targets.orthonormal(3, 3, activation=act.relu)
    pair = one_neuron(act.relu, 2)
    weights = jnp.stack([target.weights[0], pair.scale * (target.weights[1] + target.weights[2])])
    student = jc.TwoLayer(weights, jnp.stack([jnp.ones(()), pair.readout]), activation=act.relu)
    assert risk_and_steepest(student, target)[1] > 0.1
    for f, partition in (
        (act.relu, (1, 2)),
        (act.tanh, (2, 1)),
        (act.sigmoid, (2, 2)),
        (act.leaky_relu(0.1), (1, 3)),
    ):
        with pytest.raises(ValueError, match=r"copy_average_risk: given .* not critical; expected"):
            copy_average_risk(f, partition)


def test_one_group_or_copies_alone_are_served_for_every_activation():
    target = turned(3, 4, 2.0, act.relu)
    one, copies = copy_average(target, (3,)), copy_average(target, [1, 1, 1])
    found, steepest = risk_and_steepest(one, target)
    np.testing.assert_allclose(found, 4 * copy_average_risk(act.relu, (3,)), rtol=1e-13)
    assert steepest < 1e-13
    np.testing.assert_array_equal(copies.weights, target.weights)
    np.testing.assert_array_equal(copies.readout, target.readout)
    assert float(copy_average_risk(act.relu, (1, 1, 1))) == 0


def test_copies_and_one_average_are_the_best_partition_by_enumeration():
    for k in range(1, 15):
        for n in range(1, k + 1):
            ranked = rank_partitions(act.erf, n, k)
            assert (
                ranked[0].partition
                == best_partition(act.erf, n, k)
                == (1,) * (n - 1) + (k - n + 1,)
            )
            assert sorted(each.partition for each in ranked) == list(partitions(n, k))
            assert all(low.risk < high.risk + 1e-15 for low, high in itertools.pairwise(ranked))
            if len(ranked) > 1:  # The least gap is 5.85e-3, at (2, 2) against (1, 3).
                assert ranked[1].risk - ranked[0].risk > 5.8e-3
    assert best_partition(act.erf, 3, 10**6) == (1, 1, 10**6 - 2)
    for f in (act.sin, act.normal_cdf):
        assert best_partition(f, 4, 9) == rank_partitions(f, 4, 9)[0].partition == (1, 1, 1, 6)
    # For hermite(2) a group of ℓ leaves ℓ − 1: all partitions tie, to 1e-14, and rounding puts them
    # in order.
    ranked = rank_partitions(act.hermite(2), 4, 9)
    risks = {each.partition: float(each.risk) for each in ranked}
    assert best_partition(act.hermite(2), 4, 9) == (1, 1, 1, 6)
    assert all(risk == pytest.approx(risks[1, 1, 1, 6], rel=1e-14) for risk in risks.values())


def dual_risk(f, k):
    """`k d(1) + k(k−1) d(0) − k² d(1/k)`, what the best function of `Σ v_j·x` leaves."""
    one, none, shared = jc.kernels.dual_activation(f, jnp.asarray([1, 0, 1 / k]))
    return float(k * one + k * (k - 1) * none - k**2 * shared)


@pytest.mark.parametrize("f", [act.erf, act.sin, act.bump(), act.hermite(3), act.exp], ids=str)
def test_closed_under_gaussian_averages_a_neuron_is_the_best_function_of_its_input(f):
    for k in (2, 3, 8):
        np.testing.assert_allclose(one_neuron(f, k).risk, dual_risk(f, k), rtol=1e-12)


@pytest.mark.parametrize("f", [act.relu, act.tanh, act.gelu, act.abs], ids=str)
def test_others_leave_more_than_the_best_function_would(f):
    for k in (2, 3, 8):
        assert float(one_neuron(f, k).risk) > dual_risk(f, k) + 1e-11


def test_partitions_are_all_there_once_and_rising():
    counted = [sum(1 for n in range(1, k + 1) for _ in partitions(n, k)) for k in (1, 5, 12, 20)]
    assert counted == [1, 7, 77, 627]
    assert list(partitions(3, 7)) == [(1, 1, 5), (1, 2, 4), (1, 3, 3), (2, 2, 3)]
    assert len(list(partitions(1000, 1005))) == 7  # no deeper than their number
    five, two = np.int64(5), np.int32(2)
    assert list(partitions(two, five)) == [(1, 4), (2, 3)]
    assert (
        best_partition(act.erf, two, five)
        == rank_partitions(act.erf, two, five)[0].partition
        == (1, 4)
    )
    assert one_neuron(act.erf, five).risk == one_neuron(act.erf, 5).risk


def test_the_dtype_asked_for_is_given_and_a_trace_changes_nothing():
    for f in (act.erf, act.relu, act.sin, act.tanh, act.sigmoid):
        found, exact = one_neuron(f, 3, dtype=jnp.float32), one_neuron(f, 3)
        assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("float32")}
        # tanh 1.1e-6 of a target of second moment 1.2, and 3.4e-5 of the norm, which it hardly
        # feels
        np.testing.assert_allclose(found.risk, exact.risk, rtol=0, atol=2e-6)
        np.testing.assert_allclose(found.scale, exact.scale, rtol=5e-5)
    target = turned(4, 5, 0.5, act.sin)
    traced = jax.jit(lambda target: copy_average(target, (1, 3)))(target)
    np.testing.assert_allclose(
        traced.weights, copy_average(target, (1, 3)).weights, rtol=1e-14, atol=1e-16
    )
    small = copy_average(
        jc.targets.orthonormal(3, 3, activation=act.erf, dtype=jnp.float32), (1, 2)
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(small)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: one_neuron(act.erf, 0),
            "one_neuron: given k=0; expected a whole number, at least 1",
        ),
        (
            lambda: one_neuron(act.erf, 2, dtype=jnp.int32),
            "one_neuron: given dtype=int32; expected float32 or float64",
        ),
        (lambda: one_neuron(act.erf, 2.0), "one_neuron: given k=2.0; expected a whole number"),
        (lambda: one_neuron(0 * act.erf, 2), "one_neuron: given .*, which is zero"),
        (
            lambda: one_neuron(act.step + act.relu, 2),
            "one_neuron: given .*, which jumps and is not homogeneous",
        ),
        (
            lambda: one_neuron(act.elementwise(jax.nn.gelu), 2),
            "one_neuron: given .* still falls at a norm of 3",
        ),
        (lambda: one_neuron("erf", 2), "given the activation 'erf'; expected one of"),
        (
            lambda: copy_average_risk(act.erf, ()),
            "copy_average_risk: given partition .*; expected positive integers",
        ),
        (lambda: copy_average_risk(act.erf, (1, 0)), "copy_average_risk: given partition"),
        (
            lambda: copy_average_risk(act.erf, 3),
            "copy_average_risk: given partition 3; expected positive integers",
        ),
        (
            lambda: copy_average_risk(act.gelu, (1, 2)),
            "copy_average_risk: .* best norms are zero or infinite",
        ),
        (
            lambda: copy_average(np.eye(3), (1, 2)),
            "copy_average: given a target of type ndarray; expected a TwoLayer",
        ),
        (
            lambda: copy_average(turned(3, 4, 1.0, act.erf), (1, 1)),
            "copy_average: .* sum to the target's 3 neurons",
        ),
        (
            lambda: copy_average(jc.TwoLayer(jnp.ones((2, 3)), jnp.ones(2)), (2,)),
            "copy_average: .* orthonormal rows",
        ),
        (
            lambda: copy_average(jc.TwoLayer(jnp.eye(2), jnp.arange(2.0)), (2,)),
            "readouts that differ by 1; expected",
        ),
        (
            lambda: copy_average(jc.TwoLayer(jnp.eye(2), jnp.ones(2), jnp.ones(2)), (2,)),
            "without biases",
        ),
        (
            lambda: copy_average(jc.TwoLayer(jnp.eye(2), jnp.ones((2, 2))), (2,)),
            "expected one network of one output",
        ),
        (
            lambda: list(partitions(n=3, k=2)),
            "partitions: given n=3 and k=2; expected integers 1 ≤ n ≤ k",
        ),
        (lambda: best_partition(act.erf, 0, 3), "best_partition: given n=0 and k=3"),
        (
            lambda: best_partition(act.gelu, 1, 4),
            "best_partition: given gelu .* best norms are zero or infinite",
        ),
        (lambda: best_partition(act.relu, 2, 4), "best_partition: given relu .* not critical"),
        (lambda: rank_partitions(act.relu, 2, 4), "rank_partitions: given relu .* not critical"),
        (lambda: rank_partitions(act.erf, True, 3), "rank_partitions: given n=True and k=3"),
    ],
)
def test_what_has_no_prediction_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
