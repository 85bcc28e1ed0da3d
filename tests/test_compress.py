"""Compression of small targets whose answer is known, or can be checked from outside."""

import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcompress as jc
from jaxcompress.cli import main
from jaxcompress.compress._starts import greedy_choice
from jaxcompress.risk import RiskProblem, normal_equations
from tests.problems import network, singular_law

RELU, ERF = jc.activations.relu, jc.activations.erf
KEY = jax.random.key(0)

pytestmark = pytest.mark.xdist_group("compress")  # what one compiles, the next uses


@pytest.fixture(scope="session")
def target():
    return network(1, 12, 4, RELU, outputs=2, bias=True, output_bias=True)


@pytest.fixture(scope="session")
def law():
    return singular_law(dim=4, rank=3)


@pytest.fixture(scope="session")
def small(target, law):
    seen = []
    result = jc.compress(target, 3, key=KEY, num_starts=6, inputs=law, progress=lambda *args: seen.append(args))
    return result, seen


def test_risk_is_the_population_risk_of_the_network_that_comes_back(small, target, law):
    risk = jc.population_risk(small[0].network, target, inputs=law)
    np.testing.assert_allclose(small[0].risk, risk, rtol=1e-9)
    energy = RiskProblem.of(target, law).energy
    np.testing.assert_allclose(small[0].relative_risk, risk / energy, rtol=1e-9)


def test_the_result_is_a_critical_point_in_the_coordinates_of_the_target(small, target, law):
    gradient = jax.grad(lambda s: jc.population_risk(s, target, inputs=law))(small[0].network)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
    assert largest < 1e-9
    assert small[0].report.index == 0


def test_the_result_beats_pruning_whose_risks_are_reported(small, target, law):
    report = small[0].report
    size = np.linalg.norm(target.weights, axis=1) * np.linalg.norm(target.readout, axis=1)
    kept = np.sort(np.argsort(-size)[:3])
    pruned = jc.TwoLayer(target.weights[kept], target.readout[kept], target.bias[kept], target.output_bias, RELU)
    np.testing.assert_allclose(report.pruned_risk, jc.population_risk(pruned, target, inputs=law), rtol=1e-9)
    matrix, right = normal_equations(RiskProblem.of(target, law), pruned)
    best = np.linalg.solve(matrix, right)
    refitted = jc.TwoLayer(pruned.weights, best[:3], pruned.bias, best[3], RELU)
    np.testing.assert_allclose(report.refitted_risk, jc.population_risk(refitted, target, inputs=law), rtol=1e-8)
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


def test_the_command_line_writes_the_network_the_figure_and_a_table(doubled, tmp_path, monkeypatch, capsys):
    jc.save(tmp_path / "big.npz", doubled)
    monkeypatch.chdir(tmp_path)
    assert main(["compress", "big.npz", "--width", "3", "--starts", "4", "--plot", "figure.png"]) == 0
    small = jc.load("big-3.npz")
    assert float(jc.population_risk(small, doubled)) < 1e-12
    assert (tmp_path / "figure.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    shown = capsys.readouterr().out
    for part in ("6 → 3 neurons", "magnitude pruning", "readout refitted", "this network", "best start", "big-3.npz"):
        assert part in shown


def test_the_command_line_prints_json_and_nothing_else(doubled, tmp_path, capsys):
    jc.save(tmp_path / "big.npz", doubled)
    out = tmp_path / "small.npz"
    arguments = ["compress", str(tmp_path / "big.npz"), "--width", "3", "--starts", "4", "--out", str(out), "--json"]
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
    """The law's mean leaves the range of its covariance: a coordinate that never varies carries it."""
    target = network(4, 6, 3, RELU)
    law = jc.Gaussian(jnp.asarray([0.5, -0.3, 0.8]), jnp.diag(jnp.asarray([1.0, 2.0, 0.0])))
    small = jc.compress(target, 2, key=KEY, num_starts=4, inputs=law)
    assert small.network.bias is None
    gradient = jax.grad(lambda s: jc.population_risk(s, target, inputs=law))(small.network)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)) < 1e-9
    assert small.report.risk < small.report.refitted_risk


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


def test_a_call_shows_the_signature_and_the_docstring_of_the_function():
    for room, function in ((jc.compress, jc.compress.compress), (jc.solve, jc.solve.solve)):
        assert inspect.signature(room) == inspect.signature(function)
        assert room.__doc__.startswith(function.__doc__)
