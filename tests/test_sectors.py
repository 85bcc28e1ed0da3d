"""Symmetric sectors: their risk against Gram tables in mpmath and against the full risk, their
points against published and recorded ones, families against closed forms and limits of the
literature."""

import functools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

import jaxcompress as jc
from jaxcompress import activations as act
from jaxcompress.kernels.internal import hermite_remainder
from jaxcompress.sectors import (
    Sector,
    SectorNumbers,
    SectorPoint,
    copy_average_sector,
    fit_expansion,
    follow_sector,
    perturbed_copy_sector,
    sector_coordinates,
    solve_sector,
)
from jaxcompress.sectors._risk import classes, sector_risk, steepest
from jaxcompress.sectors._solve import _newton
from jaxcompress.theory import one_neuron

BOTH = [act.erf, act.relu]
DOUBLING = [50 * 2**i for i in range(8)]
# Half the risk of minima of ReLU networks with k = n = 20 and readout one, found by descents from
# random starts, by the size p of the class S_p that turns round: w_j = −v_j + (2/k) Σ v, and for 11
# w_j = −v_j + (2/p) Σ v over its class.
LEVELS = {
    1: 0.011275582,
    2: 0.021922973,
    3: 0.03215162,
    4: 0.042021556,
    5: 0.051555948,
    11: 0.077619996,
}


def turned(p, k):
    """The sector of `LEVELS`, and a start in it."""
    overlaps = [[0.0, 0.0], [0.0, 2 / p]] if p > 8 else [[2 / k, 2 / k], [2 / k, 2 / k]]
    return Sector((k - p, p), (0, 1)), SectorNumbers(
        np.ones(2), np.array([1.0, -1.0]), np.array(overlaps)
    )


@functools.cache
def solved(sector, f):
    return solve_sector(sector, f)


def drawn(sector, seed):
    """Numbers of order one."""
    rng = np.random.default_rng(seed)
    width, height = len(sector.partners), len(sector.targets)
    a, e, c = rng.normal(size=width), rng.normal(size=width), 0.3 * rng.normal(size=(width, height))
    for g, partner in enumerate(sector.partners):
        if partner is None:
            e[g] = 0
        elif sector.targets[partner] == 1:
            c[g, partner] = 0
    return SectorNumbers(a, e, c)


def point_at(sector, numbers, f=act.erf):
    """A point that no solver found."""
    nothing = jnp.zeros(())
    rest = (nothing, nothing, nothing == 1, jnp.zeros(1))
    return SectorPoint(*map(jnp.asarray, numbers), *rest, sector=sector, activation=f)


def exact_kernel(f, s, t, q):
    """Saad & Solla 1995; Cho & Saul 2009."""
    if f == act.erf:
        return 2 / mp.pi * mp.asin(q / mp.sqrt((1 + s) * (1 + t)))
    angle = mp.acos(max(min(q / mp.sqrt(s * t), mpf(1)), mpf(-1)))
    return mp.sqrt(s * t) * (mp.sin(angle) + (mp.pi - angle) * mp.cos(angle)) / (2 * mp.pi)


def exact_risk(f, sector, numbers):
    """The whole Gram table with the number of times that each entry occurs, orders 0 and 1 and
    all.
    """
    a, e, c = (np.asarray(part).tolist() for part in numbers)
    k, height = sector.targets, len(sector.targets)
    everyone = [
        (p, mpf(a[g]), mpf(e[g]), [mpf(x) for x in c[g]]) for g, p in enumerate(sector.partners)
    ]
    everyone += [(h, mpf(-1), mpf(1), [mpf(0)] * height) for h in range(height)]

    def product(one, two, same):
        (p, _, e1, c1), (q, _, e2, c2) = one, two
        total = mp.fsum(k[h] * c1[h] * c2[h] for h in range(height))
        total += (e1 * c2[p] if p is not None else 0) + (e2 * c1[q] if q is not None else 0)
        return total + (e1 * e2 if same and p is not None and p == q else 0)

    risk = mpf(0)
    for one in everyone:
        for two in everyone:
            many, other = (1 if x[0] is None else k[x[0]] for x in (one, two))
            s, t = product(one, one, True), product(two, two, True)
            shared = many if one[0] is not None and one[0] == two[0] else int(one is two)
            for count, same in ((shared, True), (many * other - shared, False)):
                if count:
                    q = s if one is two and same else product(one, two, same)
                    risk += one[1] * two[1] * count * exact_kernel(f, s, t, q)
    return risk


@pytest.mark.parametrize("f", BOTH, ids=str)
def test_the_risk_of_a_million_neurons_has_its_digits(f):
    k = 10**6
    sectors = [
        perturbed_copy_sector(k - 1, k),
        perturbed_copy_sector(k // 2, k),
        copy_average_sector(k - 2, k),
    ]
    points = [solved(sector, f) for sector in sectors]
    if f == act.relu:
        points.append(
            follow_sector(
                lambda k: turned(1, k)[0], [20, k], f, start=turned(1, 20)[1], freeze=("readout",)
            ).points[-1]
        )
    for point in points:
        with mp.workdps(50):
            exact = exact_risk(f, point.sector, point.numbers)
            # What a plain sum leaves is eps·k² = 2e-4.
            assert abs(float(mpf(float(point.risk)) / exact - 1)) < 1e-9
            assert bool(point.converged)


@functools.partial(jax.jit, static_argnums=0)
def derivatives(f, known, numbers):
    """Risk, gradient and Hessian in the numbers, all of them, compiled once for sectors of two and
    two classes.
    """
    flat, unravel = jax.flatten_util.ravel_pytree(numbers)

    def slope(x):
        value, gradient = jax.value_and_grad(lambda x: sector_risk(f, known, unravel(x)))(x)
        return gradient, (value, gradient)

    # one pass: half the compilation of three
    hessian, (value, gradient) = jax.jacfwd(slope, has_aux=True)(flat)
    return value, gradient, hessian


@pytest.mark.parametrize("f", BOTH, ids=str)
@pytest.mark.parametrize(
    "sector",
    [Sector((5, 1), (0, None)), Sector((5, 1), (1, 0)), Sector((3, 3), (0, 0))],
    ids=str,
)
def test_risk_gradient_and_curvature_are_those_of_the_lifted_network(f, sector):
    def full(x):
        return jax.flatten_util.ravel_pytree(point_at(sector, unravel(x), f).lift())[0]

    numbers = SectorNumbers(*map(jnp.asarray, drawn(sector, 0)))
    flat, unravel = jax.flatten_util.ravel_pytree(numbers)
    places = list(sector.places())
    # The lift is linear: its columns are the lifts of unit vectors.
    lift = np.stack([full(jnp.zeros_like(flat).at[place].set(1)) for place in places], 1)
    network, target = (
        point_at(sector, numbers, f).lift(),
        jc.targets.orthonormal(sector.k, sector.k, activation=f),
    )
    slope = jax.flatten_util.ravel_pytree(jax.grad(jc.population_risk)(network, target))[0]
    ours = derivatives(f, classes(sector), numbers)
    curvature = lift.T @ np.asarray(jc.risk_hessian(network, target)) @ lift
    theirs = jc.population_risk(network, target), lift.T @ np.asarray(slope), curvature
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-14)
    np.testing.assert_allclose(
        ours[1][np.array(places)], theirs[1], atol=1e-14 * np.abs(theirs[1]).max()
    )
    np.testing.assert_allclose(
        ours[2][np.ix_(places, places)], theirs[2], atol=3e-14 * np.abs(theirs[2]).max()
    )


@pytest.mark.parametrize("f", BOTH, ids=str)
def test_rests_and_their_derivatives_hold_between_parallel_neurons(f):
    u = jnp.array([0.6, -0.3, 0.2])
    w = jnp.stack(
        [
            u,
            -u,
            2 * u,
            u + 1e-9,
            u.at[0].add(1e-4),
            jnp.array([0.3, 0.6, 0.0]),
            jnp.array([1e-4, 1.0, 2.0]),
        ]
    )

    def whole(w):
        pair = jc.kernels.gram(f, w[None], f, u[None])[0, 0]
        if f == act.erf:
            return pair - 2 / jnp.pi * (w @ u) / jnp.sqrt((1 + w @ w) * (1 + u @ u))
        return pair - jnp.linalg.norm(w) * jnp.linalg.norm(u) / (2 * jnp.pi) - w @ u / 4

    def ours(w):
        return hermite_remainder(f).pair(w, u)

    for of, worst in (
        (lambda x: x, 1e-15),
        (jax.grad, 1e-15),
        (jax.hessian, 4e-15 if f == act.erf else 2e-9),
    ):
        one, two = (jax.jit(jax.vmap(of(each)))(w) for each in (ours, whole))
        np.testing.assert_allclose(one, two, atol=worst)


@pytest.mark.parametrize("f", BOTH, ids=str)
def test_the_distance_of_two_neurons_has_digits_of_its_own(f):
    u = np.array([0.6, -0.3, 0.2])
    for step in (1e-1, 1e-4, 1e-8):
        w = u + step * np.array([1.0, 2.0, -1.0])
        with mp.workdps(60):
            s, t, q = (
                mp.fsum(mpf(x) * mpf(y) for x, y in zip(*pair, strict=True))
                for pair in ((w, w), (u, u), (w, u))
            )

            def low(s, t, q):
                if f == act.erf:
                    return 2 / mp.pi * q / mp.sqrt((1 + s) * (1 + t))
                return mp.sqrt(s * t) / (2 * mp.pi) + q / 4

            def rest(s, t, q):
                return exact_kernel(f, s, t, q) - low(s, t, q)

            exact = rest(s, s, s) + rest(t, t, t) - 2 * rest(s, t, q)
            found = hermite_remainder(f).squared_distance(jnp.asarray(w), jnp.asarray(u))
            found = float(found) / float(exact)
        # Of neurons a step apart the inputs themselves have eps/step.
        assert abs(found - 1) < 1e-14 / step


@pytest.mark.parametrize("f", BOTH, ids=str)
def test_the_risk_anywhere_is_that_of_the_whole_table(f):
    for sector in (
        Sector((5, 3), (0, None)),
        Sector((40, 9), (None, None)),
        Sector((700, 300), (1, 1)),
    ):
        for seed in range(3):
            numbers = drawn(sector, seed)
            numbers = numbers._replace(overlaps=numbers.overlaps / sector.k)
            with mp.workdps(50):
                exact = exact_risk(f, sector, numbers)
            found = derivatives(f, classes(sector), SectorNumbers(*map(jnp.asarray, numbers)))[0]
            np.testing.assert_allclose(found, float(exact), rtol=1e-13)


def test_recorded_points_are_met():
    for sector, risk in {
        copy_average_sector(6, 8): 0.040593177313954,
        perturbed_copy_sector(6, 8): 0.041364548462,
        perturbed_copy_sector(9, 10): 0.019682157473,
    }.items():
        point = solved(sector, act.erf)
        assert abs(float(point.risk) - risk) < 1e-12
        assert bool(point.converged)


@pytest.mark.parametrize("f", BOTH, ids=str)
@pytest.mark.parametrize(
    "sector", [copy_average_sector(6, 8), perturbed_copy_sector(9, 10)], ids=str
)
def test_a_point_is_critical_among_all_networks(f, sector):
    point = solved(sector, f)
    network, target = point.lift(), jc.targets.orthonormal(sector.k, sector.k, activation=f)
    slope = jax.tree.leaves(jax.grad(jc.population_risk)(network, target))
    # Worst measured: 1.2e-14, which is the rounding of the full sum, and 2e-15.
    assert abs(float(jc.population_risk(network, target) - point.risk)) < 3e-14
    assert max(float(jnp.abs(leaf).max()) for leaf in slope) < 1e-14
    assert float(point.gradient_norm) < 1e-14


@pytest.mark.parametrize("f", BOTH, ids=str)
def test_a_target_that_is_copied_costs_nothing_and_never_less(f):
    for k in (2, 5):
        point = solved(copy_average_sector(k, k), f)  # plain sums leave −3e-18 and −8e-17
        assert bool(point.converged)
        assert 0 <= float(point.risk) < 1e-15


def test_the_gradient_norm_is_the_largest_entry_of_the_full_gradient():
    for f in BOTH:
        for sector in (Sector((5, 3), (0, None)), Sector((4, 2), (1, 0))):
            numbers, known = drawn(sector, 1), classes(sector)
            numbers = SectorNumbers(*map(jnp.asarray, numbers))
            network = point_at(sector, numbers, f).lift()
            target = jc.targets.orthonormal(sector.k, sector.k, activation=f)
            full = jax.tree.leaves(jax.grad(jc.population_risk)(network, target))
            _, unravel = jax.flatten_util.ravel_pytree(numbers)
            few = steepest(known, unravel(derivatives(f, known, numbers)[1]))
            np.testing.assert_allclose(
                few, max(float(jnp.abs(leaf).max()) for leaf in full), rtol=1e-13
            )


def test_the_known_minima_of_twenty_relus_have_a_class_that_turns_round():
    for p, half in LEVELS.items():
        sector, start = turned(p, 20)
        point = solve_sector(sector, act.relu, start=start, freeze=("readout",))
        assert sector.group == (f"S{20 - p}×S{p}" if p > 1 else "S19")
        assert abs(float(point.risk) / 2 - half) < 1e-9
        assert bool(point.converged)
        assert np.all(np.asarray(point.eigenvalues) > 0)
        np.testing.assert_array_equal(point.readout, 1)


def test_spurious_minima_that_turn_one_neuron_round_decay_as_in_the_literature():
    sizes = [20, *(100 * 2**i for i in range(8)), 10**5, 10**6]
    for p in (1, 2):
        _, start = turned(p, 20)
        found = follow_sector(
            lambda k, p=p: turned(p, k)[0], sizes, act.relu, start=start, freeze=("readout",)
        )
        assert bool(found.converged.all())
        fit = fit_expansion(sizes[1:9], found.risk[1:9] / 2, terms=6, step=0.5, leading=-1)
        # Arjevani & Field 2020: type II decays like (1/2 − 2/π²)/k.
        np.testing.assert_allclose(fit.coefficients[0], p * (0.5 - 2 / np.pi**2), rtol=1e-5)
        np.testing.assert_allclose(found.risk[-1] * 10**6 / 2, p * (0.5 - 2 / np.pi**2), rtol=2e-3)


def test_minima_that_turn_every_neuron_round_cost_a_constant():
    start = SectorNumbers(np.ones(1), -np.ones(1), np.full((1, 1), 0.1))
    sizes = [20, *DOUBLING, 10**6]
    found = follow_sector(
        lambda k: Sector((k,), (0,)), sizes, act.relu, start=start, freeze=("readout",)
    )
    fit = fit_expansion(sizes[1:9], found.risk[1:9] / 2, terms=6, step=0.5)
    # Arjevani & Field 2020: type A tends to 1/2 − 1/π.
    np.testing.assert_allclose(fit.coefficients[0], 0.5 - 1 / np.pi, rtol=1e-5)


@pytest.mark.parametrize("share", ["one", "most", "half"])
def test_erf_copy_average_is_followed_to_a_million_along_its_closed_form(share):
    family = {
        "one": lambda k: copy_average_sector(1, k),
        "most": lambda k: copy_average_sector(k - 2, k),
        "half": lambda k: copy_average_sector(k // 2, k),
    }[share]
    sizes = [10, 100, 10**4, 10**6]
    found = follow_sector(family, sizes, act.erf)
    assert bool(found.converged.all())
    for k, risk in zip(sizes, found.risk, strict=True):
        group = k - family(k).n + 1
        np.testing.assert_allclose(risk, one_neuron(act.erf, group).risk, rtol=1e-12)


@pytest.mark.parametrize(
    "sizes", [(2, 5000), (10, 10**6), (500_000, 10**6), (999_998, 10**6), (1, 10**6)], ids=str
)
def test_an_average_of_a_million_is_certified_where_it_has_its_closed_form_only(sizes):
    n, k = sizes
    average = k - n + 1
    point = solved(copy_average_sector(n, k), act.erf)
    # The closed form is c = 1/√(ℓ(2ℓ−1)); those of 10 and of half a million end 7e-4 and 8e-3
    # beside it, |g| = 1e-5.
    off = abs(float(point.overlaps[-1, -1]) * (average * (2 * average - 1)) ** 0.5 - 1)
    assert bool(point.converged) == (off < 1e-12)


def test_the_expansion_of_one_erf_neuron_is_that_of_its_closed_form():
    found = follow_sector(lambda k: copy_average_sector(1, k), DOUBLING, act.erf)
    fit = fit_expansion(DOUBLING, found.risk, terms=5, leading=1)
    stated = [1 / 3 - 1 / np.pi, 0, -1 / (24 * np.pi), 0, -3 / (640 * np.pi)]
    off = np.abs(fit.coefficients - stated)
    # Each term loses three digits or so.
    assert np.all(off < [1e-15, 1e-12, 1e-9, 1e-6, 1e-3])
    assert np.all(off <= 10 * fit.errors + 1e-15)
    np.testing.assert_allclose(fit.exponents, [1, 0, -1, -2, -3])


def test_perturbed_copies_cost_what_they_leave_out_and_a_power_of_one_over_k():
    for m in (1, 3):
        found = follow_sector(
            lambda k, m=m: perturbed_copy_sector(k - m, k), [20, *DOUBLING], act.erf
        )
        fit = fit_expansion(DOUBLING, found.risk[1:], terms=6)
        # What m neurons have beyond their linear part: m(1/3 − 1/π).
        np.testing.assert_allclose(fit.coefficients[0], m * (1 / 3 - 1 / np.pi), rtol=1e-6)
        found = follow_sector(
            lambda k, m=m: perturbed_copy_sector(k - m, k), [20, *DOUBLING], act.relu
        )
        fit = fit_expansion(DOUBLING, found.risk[1:], terms=6, step=0.5)
        np.testing.assert_allclose(fit.coefficients[0], m * (0.25 - 1 / (2 * np.pi)), rtol=1e-6)
        if m == 1:
            np.testing.assert_allclose(fit.coefficients[2], 0.5 - 1 / np.pi, rtol=1e-4)


def test_larger_targets_and_other_partners_compile_nothing_new():
    solve_sector(copy_average_sector(3, 8), act.erf)
    before = _newton._cache_size()
    for sector in (copy_average_sector(700, 1000), Sector((4, 1), (1, 0)), Sector((2, 2), (0, 0))):
        solve_sector(sector, act.erf)
    solve_sector(copy_average_sector(3, 8), act.erf, freeze=("readout",))
    assert _newton._cache_size() == before


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    targets=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    chosen=st.lists(st.integers(-1, 2), min_size=1, max_size=3),
    seed=st.integers(0, 999),
)
def test_coordinates_undo_the_lift(targets, chosen, seed):
    sector = Sector(targets, tuple(None if p < 0 else p % len(targets) for p in chosen))
    numbers = drawn(sector, seed)
    point = point_at(sector, numbers)
    assert point.lift().weights.shape == (sector.n, sector.k)
    assert len(sector.places()) == sector.free
    for one, two in zip(sector_coordinates(sector, point.lift(sector.k + 1)), numbers, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-15)


def test_coordinates_of_a_solved_network_start_a_search_that_stays():
    point = solved(copy_average_sector(6, 8), act.relu)
    network = point.lift()
    again = solve_sector(point.sector, act.relu, start=sector_coordinates(point.sector, network))
    np.testing.assert_allclose(again.risk, point.risk, rtol=1e-14)


def test_groups_and_sizes_are_told():
    sector = copy_average_sector(6, 8)
    assert (sector.n, sector.k, sector.group, sector.free) == (6, 8, "S5×S3", 7)
    assert copy_average_sector(1, 4) == Sector((4,), (None,))
    assert perturbed_copy_sector(4, 4) == Sector((4,), (0,))
    assert Sector((1, 1), (0, 1)).group == "1"
    assert Sector((3,), (0, 0)).n == 6
    assert Sector((4, 1), (0, 1)).free == 7
    assert hash(sector) == hash(Sector([5, 3], (0, None)))


def test_integers_of_numpy_are_sizes():
    four = np.int64(4)
    assert copy_average_sector(np.int32(2), four) == copy_average_sector(2, 4)
    assert perturbed_copy_sector(four, four) == perturbed_copy_sector(4, 4)
    found = follow_sector(lambda k: perturbed_copy_sector(3, k), np.array([4, 5]), act.erf)
    assert found.sizes == (4, 5)
    assert found.points[0].lift(np.int64(6)).dim == 6


def test_what_does_not_fit_is_refused():
    sector = perturbed_copy_sector(3, 4)
    for refused, words in {
        (lambda: Sector((0,), (0,))): "positive sizes",
        (lambda: Sector((3,), (1,))): "number of a target",
        (lambda: Sector((3,), ())): "one or more",
        (lambda: copy_average_sector(5, 4)): "1 ≤ n ≤ k",
        (lambda: perturbed_copy_sector(2.0, 4)): "integers",
        (lambda: perturbed_copy_sector(True, 4)): "integers",
        (
            lambda: follow_sector(lambda k: perturbed_copy_sector(1, k), [2.5, 4], act.erf)
        ): "integers",
        (lambda: solve_sector(sector, act.erf, start=(1, 2))): "SectorNumbers",
        (
            lambda: solve_sector(sector, act.erf, start=jc.TwoLayer(jnp.eye(3), jnp.ones(3)))
        ): "SectorNumbers",
        (lambda: jax.jit(lambda x: solve_sector(sector, act.erf).risk * x)(1.0)): "outside",
        (lambda: fit_expansion([1, 2, 3], [1.0, 2.0, 3.0], terms=2.0)): "whole number",
        (lambda: fit_expansion([1, 2, 3], [1.0, 2.0, 3.0], terms=2, step=np.inf)): "finite step",
        (lambda: fit_expansion([1, 2, 3], [1.0, np.nan, 3.0], terms=2)): "finite ones",
        (lambda: solve_sector(sector, act.tanh)): "erf or relu",
        (lambda: solve_sector(sector, act.erf, freeze=("weights",))): "weights always move",
        (
            lambda: solve_sector(sector, act.erf, start=solved(copy_average_sector(6, 8), act.erf))
        ): "one row a class",
        (
            lambda: follow_sector(lambda k: perturbed_copy_sector(k, k), [4, 3], act.erf)
        ): "ascending",
        (
            lambda: follow_sector(lambda k: perturbed_copy_sector(4, k), [4, 5], act.erf)
        ): "one structure",
        (lambda: fit_expansion([1, 2], [1.0, 2.0], terms=2)): "add sizes",
        (lambda: solved(sector, act.erf).lift(3)): "k at least",
        (
            lambda: point_at(
                perturbed_copy_sector(10**5, 10**5), solved(sector, act.erf).numbers
            ).lift()
        ): "is its numbers",
        (
            lambda: sector_coordinates(sector, jc.targets.orthonormal(4, 4, activation=act.erf))
        ): "3 neurons",
        (
            lambda: sector_coordinates(sector, jc.TwoLayer(jnp.ones((3, 2)), jnp.ones(3)))
        ): "4 at least",
    }.items():
        with pytest.raises(ValueError, match=words):
            refused()


def test_single_precision_is_refused_with_words():
    with jax.enable_x64(False), pytest.raises(ValueError, match="jax_enable_x64"):
        solve_sector(perturbed_copy_sector(3, 4), act.erf)
