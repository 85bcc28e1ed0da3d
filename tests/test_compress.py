"""Compression of small targets whose answer is known, or can be checked from outside."""

import json
import logging

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.cli import main
from jaxcompress.compression._measured import Equations, strongest
from jaxcompress.compression._model import Aim, curvature, hidden_of, model_at, with_hidden
from jaxcompress.compression._search import Runner, Search
from jaxcompress.compression._starts import greedy_choice
from jaxcompress.compression._walk import shortest
from jaxcompress.risk import RiskProblem, normal_equations
from tests.problems import network, singular_law

RELU, ERF = jc.activations.relu, jc.activations.erf
KEY = jax.random.key(0)
CURVATURE, SHORTEST = jax.jit(curvature), jax.jit(shortest)


@pytest.fixture(scope="session")
def target():
    return network(1, 12, 4, RELU, outputs=2, bias=True, output_bias=True)


@pytest.fixture(scope="session")
def law():
    return singular_law(dim=4, rank=3)


@pytest.fixture(scope="session")
def small(target, law):
    seen = []
    result = jc.compress(
        target, 3, key=KEY, num_starts=6, inputs=law, progress=lambda *args: seen.append(args)
    )
    return result, seen


def test_risk_is_the_population_risk_of_the_network_that_comes_back(small, target, law):
    risk = jc.population_risk(small[0].network, target, inputs=law)
    np.testing.assert_allclose(small[0].risk, risk, rtol=1e-9)
    second_moment = RiskProblem.of(target, law).second_moment
    np.testing.assert_allclose(small[0].relative_risk, risk / second_moment, rtol=1e-9)


def test_the_result_is_a_critical_point_in_the_coordinates_of_the_target(small, target, law):
    gradient = jax.grad(lambda s: jc.population_risk(s, target, inputs=law))(small[0].network)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
    assert largest < 1e-9
    assert small[0].report.index == 0


def test_the_result_beats_pruning_whose_risks_are_reported(small, target, law):
    report = small[0].report
    size = np.linalg.norm(target.weights, axis=1) * np.linalg.norm(target.readout, axis=1)
    kept = np.sort(np.argsort(-size)[:3])
    pruned = jc.TwoLayer(
        target.weights[kept], target.readout[kept], target.bias[kept], target.output_bias, RELU
    )
    np.testing.assert_allclose(
        report.pruned_risk, jc.population_risk(pruned, target, inputs=law), rtol=1e-9
    )
    matrix, right = normal_equations(RiskProblem.of(target, law), pruned)
    best = np.linalg.solve(matrix, right)
    refitted = jc.TwoLayer(pruned.weights, best[:3], pruned.bias, best[3], RELU)
    np.testing.assert_allclose(
        report.refitted_risk, jc.population_risk(refitted, target, inputs=law), rtol=1e-8
    )
    assert report.risk < report.refitted_risk < report.pruned_risk


def test_the_network_has_the_structure_of_the_target_and_the_width_asked_for(small, target):
    shapes = {name: array.shape for name, array in small[0].network.parameters().items()}
    assert shapes == {"weights": (3, 4), "readout": (3, 2), "bias": (3,), "output_bias": (2,)}


def test_solutions_are_sorted_and_led_by_the_result(small):
    solutions = small[0].solutions
    np.testing.assert_array_equal(solutions.risk, np.sort(solutions.risk))
    np.testing.assert_array_equal(solutions.network.weights[0], small[0].network.weights)


def test_progress_is_reported_for_every_stage_up_to_its_total(small):
    last = {stage: (done, total) for stage, done, total in small[1]}
    assert last == {"screen": (6, 6), "refine": (1, 1), "polish": (1, 1)}


def test_the_report_is_plain_json(small):
    plain = json.loads(json.dumps(small[0].report.to_dict(), allow_nan=False))
    assert plain["width"] == 3
    assert len(plain["start_risks"]) == 6
    assert set(plain["seconds"]) == {"prepare", "screen", "refine", "polish"}


def test_the_same_key_gives_the_same_network(small, target, law):
    again = jc.compress(target, 3, key=KEY, num_starts=6, inputs=law)
    np.testing.assert_array_equal(again.network.weights, small[0].network.weights)


@pytest.fixture(scope="session")
def doubled():
    """Six neurons that are three: nothing is lost at width 3."""
    half = network(3, 3, 4, ERF)
    readout = jnp.concatenate([0.3 * half.readout, 0.7 * half.readout])
    return jc.TwoLayer(jnp.concatenate([half.weights, half.weights]), readout, activation=ERF)


def test_a_target_of_doubled_neurons_compresses_to_nothing_lost(doubled):
    small = jc.compress(doubled, 3, key=KEY, num_starts=4)
    assert float(small.relative_risk) < 1e-14
    assert small.solutions.risk.shape == (1,)
    assert float(jax.jit(lambda s: s.risk)(small)) == float(small.risk)


def test_the_command_line_writes_the_network_the_figure_and_a_table(
    doubled, tmp_path, monkeypatch, capsys
):
    jc.save(tmp_path / "big.npz", doubled)
    monkeypatch.chdir(tmp_path)
    assert (
        main(["compress", "big.npz", "--width", "3", "--starts", "4", "--plot", "figure.png"]) == 0
    )
    small = jc.load("big-3.npz")
    assert float(jc.population_risk(small, doubled)) < 1e-12
    assert (tmp_path / "figure.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    shown = capsys.readouterr().out
    for part in (
        "6 → 3 neurons",
        "magnitude pruning",
        "readout refitted",
        "this network",
        "best start",
        "big-3.npz",
    ):
        assert part in shown


def test_the_command_line_prints_json_and_nothing_else(doubled, tmp_path, capsys):
    jc.save(tmp_path / "big.npz", doubled)
    out = tmp_path / "small.npz"
    arguments = [
        "compress",
        str(tmp_path / "big.npz"),
        "--width",
        "3",
        "--starts",
        "4",
        "--out",
        str(out),
        "--json",
    ]
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["out"] == str(out)
    assert report["relative_risk"] < 1e-14
    assert report["index"] == 0


def test_an_input_is_never_overwritten_by_the_output(doubled, tmp_path, capsys):
    path = tmp_path / "big.npz"
    jc.save(path, doubled)
    before = path.read_bytes()
    assert main(["compress", str(path), "--width", "3", "--out", str(path)]) == 2
    assert "given as input and as output" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_without_hidden_biases_the_mean_of_the_inputs_is_still_respected():
    """The law's mean leaves the range of its covariance: a coordinate that never varies carries
    it.
    """
    target = network(4, 6, 3, RELU)
    law = jc.Gaussian(jnp.asarray([0.5, -0.3, 0.8]), jnp.diag(jnp.asarray([1.0, 2.0, 0.0])))
    small = jc.compress(target, 2, key=KEY, num_starts=4, inputs=law)
    assert small.network.bias is None
    gradient = jax.grad(lambda s: jc.population_risk(s, target, inputs=law))(small.network)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)) < 1e-9
    assert small.report.risk < small.report.refitted_risk


def test_another_key_another_count_of_starts_and_other_budgets_compile_nothing(small, target, law):
    def again(key, **options):
        return jc.compress(target, 3, key=jax.random.key(key), inputs=law, **options)

    again(1, num_starts=7)
    with jax.log_compiles(), _Compilations() as compiled:
        again(2, num_starts=9, screening_steps=3, refining_steps=50)
    assert compiled.names == []


class _Compilations(logging.Handler):
    """The names of the programs that JAX says it compiles."""

    def __enter__(self):
        self.names = []
        self.logger = logging.getLogger("jax._src.interpreters.pxla")
        self.logger.addHandler(self)
        return self

    def __exit__(self, *_):
        self.logger.removeHandler(self)

    def emit(self, record):
        if "ompiling" in record.getMessage():
            self.names.append(record.getMessage().split()[1])


def test_greedy_choice_takes_the_neuron_that_leaves_the_least_risk_each_time():
    target = network(6, 7, 3, RELU, output_bias=True)
    problem = RiskProblem.of(target)
    matrix, right = (np.asarray(part) for part in normal_equations(problem, target))
    chosen = list(greedy_choice(matrix, right, 4, has_offset=True))

    def removed(rows):
        rows = [*rows, 7]
        return (right[rows] * np.linalg.solve(matrix[np.ix_(rows, rows)], right[rows])).sum()

    for step in range(4):
        gains = {j: removed([*chosen[:step], j]) for j in range(7) if j not in chosen[:step]}
        assert chosen[step] == max(gains, key=gains.get)


def _aim(target, inputs):
    problem = RiskProblem.of(target, inputs)
    (layer,) = problem.layers
    return problem, Aim(layer, problem.offset, inputs, problem.second_moment, problem.average.value)


@pytest.fixture(scope="module")
def point(target, law):
    """A student with its problem, its model and the projected risk as a function of hidden
    parameters.
    """
    problem, aim = _aim(target, law)
    student = network(7, 3, 4, RELU, outputs=2, bias=True, output_bias=True)
    model = model_at(aim, student)

    def projected(hidden):
        moved = with_hidden(student, hidden, model.readout)
        return problem.risk(jc.compression.best_readout(problem, moved))

    return problem, student, model, jax.jit(jax.value_and_grad(projected))


def test_the_model_has_the_value_and_the_gradient_of_the_projected_risk(point):
    _, student, model, projected = point
    hidden = hidden_of(student)
    np.testing.assert_allclose(model.risk, projected(hidden)[0], rtol=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(3):
        way, step = rng.normal(size=hidden.shape), 1e-5
        slope = (projected(hidden + step * way)[0] - projected(hidden - step * way)[0]) / (2 * step)
        np.testing.assert_allclose(jnp.sum(model.gradient * way), slope, rtol=1e-7)


def test_with_all_of_the_residual_the_curvature_is_the_hessian_of_the_projected_risk(point):
    """By finite differences of its gradient, and by the Hessian of the full risk with the readout
    eliminated.
    """
    problem, student, model, projected = point
    hidden, way = hidden_of(student), np.random.default_rng(1).normal(size=(3, 5))
    product, step = CURVATURE(model, way, jnp.asarray(1.0)), 1e-5
    slopes = [projected(hidden + sign * step * way)[1] for sign in (1, -1)]
    np.testing.assert_allclose(
        product, (slopes[0] - slopes[1]) / (2 * step), atol=1e-6 * jnp.abs(product).max()
    )
    best = with_hidden(student, hidden, model.readout)
    # weights (12), readout (6), bias (3), output bias (2)
    full = np.asarray(eqx.filter_jit(problem.hessian)(best))
    hid, out = np.r_[0:12, 18:21], np.r_[12:18, 21:23]
    taken = np.linalg.solve(full[np.ix_(out, out)], full[np.ix_(out, hid)])
    schur = full[np.ix_(hid, hid)] - full[np.ix_(hid, out)] @ taken
    flat = np.concatenate([way[:, :4].ravel(), way[:, 4]])
    got = np.concatenate([np.asarray(product[:, :4]).ravel(), product[:, 4]])
    np.testing.assert_allclose(got, schur @ flat, rtol=1e-9, atol=1e-11 * np.abs(got).max())


def test_without_the_residual_the_curvature_is_the_gauss_newton_matrix_in_kaufmans_form(point, law):
    """`2 Jᵀ(1 − P)J` on twenty thousand inputs: positive, and within four standard errors of the
    closed form.
    """
    _, student, model, _ = point
    rng = np.random.default_rng(2)
    x = np.asarray(law.sample(jax.random.key(3), (20000,), 4, jnp.float64))
    weights, bias, a = (
        np.asarray(student.weights),
        np.asarray(student.bias),
        np.asarray(model.readout)[:3],
    )
    way = rng.normal(size=(3, 5))
    on = x @ weights.T + bias > 0
    moved = (on * (x @ way[:, :4].T + way[:, 4])) @ a
    features = np.concatenate([np.maximum(x @ weights.T + bias, 0), np.ones((len(x), 1))], axis=1)
    rest = moved - features @ np.linalg.lstsq(features, moved, rcond=None)[0]
    squares = 2 * (rest**2).sum(1)
    got = float(jnp.sum(way * CURVATURE(model, way, jnp.asarray(0.0))))
    assert got > 0
    assert abs(got - squares.mean()) < 4 * squares.std() / np.sqrt(len(x))


def test_a_step_stays_within_its_radius_and_keeps_its_promise_on_the_model(point):
    _, _, model, _ = point
    free = SHORTEST(model, jnp.asarray(jnp.inf), jnp.asarray(0.0))
    half = SHORTEST(model, 0.5 * free.size, jnp.asarray(0.0))
    np.testing.assert_allclose(half.size, 0.5 * free.size, rtol=1e-12)
    for step in (free, half):
        bent = jnp.sum(step.vector * CURVATURE(model, step.vector, jnp.asarray(0.0)))
        np.testing.assert_allclose(
            step.promise, -jnp.sum(step.vector * model.gradient) - 0.5 * bent, rtol=1e-9
        )
    assert 0 < half.promise < free.promise


def test_backward_elimination_drops_the_neuron_whose_loss_costs_least_each_time():
    target = network(6, 7, 3, RELU, output_bias=True)
    problem = RiskProblem.of(target)
    matrix, right = (np.asarray(part) for part in normal_equations(problem, target))
    # no longer one that all of them solve
    right = right + np.random.default_rng(0).normal(size=right.shape)

    def left(rows):
        rows = [*rows, 7]
        return (right[rows] * np.linalg.solve(matrix[np.ix_(rows, rows)], right[rows])).sum()

    kept = list(range(7))
    for size in (6, 5, 4):
        kept = max(([j for j in kept if j != i] for i in kept), key=left)
        assert list(strongest(Equations(matrix, right), size, has_offset=True)) == kept


@pytest.fixture(scope="module")
def search(target, law):
    """A search of twelve starts, and the field as each stage left it."""
    _, aim = _aim(target, law)
    student = network(7, 3, 4, RELU, outputs=2, bias=True, output_bias=True)
    hidden = np.asarray(jax.random.normal(jax.random.key(5), (12, 3, 5)))
    search = Search(Runner(jax.tree.map(np.asarray, aim), student), hidden, lambda *_: None)
    fields = []
    for stage in (
        lambda: search.screen(4, 6),
        lambda: search.refine(60),
        lambda: search.cross(60, np.zeros(2, int)),
    ):
        stage()
        fields.append(list(search.field))
    return search, fields


def test_the_search_keeps_the_best_of_its_field_in_order(search):
    _, (screened, refined, crossed) = search
    assert len(screened) == len(refined) == len(crossed) == 6
    for field in (screened, refined, crossed):
        risks = [place.risk for place in field]
        assert risks == sorted(risks)
    assert {place.roots for place in refined} == {place.roots for place in screened}
    assert refined[-1].risk < screened[-1].risk


def test_a_walk_that_has_settled_stops_before_its_budget(search):
    _, (_, refined, _) = search
    assert all(place.steps < 64 for place in refined)


def test_crossing_never_loses_the_best_and_its_children_know_their_roots(search):
    _, (_, refined, crossed) = search
    assert crossed[0].risk <= refined[0].risk
    assert len(crossed) == len(refined)
    assert all(place.roots and place.roots <= frozenset(range(12)) for place in crossed)
    assert {len(place.roots) for place in refined} == {1}


def test_in_single_precision_neurons_that_jump_or_coincide_are_measured_to_its_digits():
    """A step feels an angle that is wrong: from rounded cosines the risk reported was 1 % off."""
    wide = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32), network(3, 5, 2, jc.activations.step)
    )
    twins = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf[:2]]), wide)
    small = jc.compress(twins, 3, key=KEY, num_starts=4)
    assert small.risk.dtype == jnp.float32
    exact = jc.population_risk(small.network, twins)
    assert float(abs(small.risk - exact)) <= 2e-6 * small.report.second_moment  # 1e-7
