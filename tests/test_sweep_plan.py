"""Plans of sweeps: what they refuse, how their runs are numbered and drawn, and what they say they
will cost.
"""

import dataclasses
import itertools
import math
import tomllib

import jax
import numpy as np
import pytest

from jaxcompress import activations, initialize, sweep
from jaxcompress.networks import ensembles, target_moments
from jaxcompress.sweep._blocks import (
    block_count,
    block_of,
    block_size,
    block_with,
    each_shape_first,
    shape_of,
)
from jaxcompress.sweep._draw import students_of, targets_of
from jaxcompress.sweep._sizes import holds, value

GOOD = {"activation": "erf", "n": 2, "k": 4, "d": "k+1", "runs": 10}


def plan(**changes):
    return sweep.Plan.from_dict(GOOD | changes)


INVALID = [
    ("activation", {"activation": "swish2"}, "swish2"),
    ("activation", {"activation": []}, "at least one"),
    ("n", {"n": 0}, "whole number from 1"),
    ("n", {"n": "k-4"}, "at least 1"),
    ("n", {"n": [2, 2]}, "every entry once"),
    ("k", {"k": 4.0}, "4.0"),
    ("k", {"k": True}, "True"),
    ("d", {"d": "q+1"}, "sum in k and n"),
    ("d", {"d": 3}, "at least k=4"),
    ("runs", {"runs": "many"}, "many"),
    ("runs", {"runs": 2**31}, "whole number"),
    ("runs", {"runs": 2**30, "n": [1, 2, 3]}, "715827882"),
    ("key", {"key": -1}, "-1"),
    ("target.law", {"target": "hexagonal"}, "orthonormal"),
    ("target.weights", {"target": {"law": "random", "weights": "cauchy"}}, "gaussian(scale)"),
    ("target.weights", {"target": {"law": "random", "weights": "sparse"}}, "probability"),
    ("target.weights", {"target": {"law": "random", "weights": "gaussian(scale=-1)"}}, "scale"),
    ("target.each", {"target": {"law": "random", "each": "day"}}, "run"),
    ("target.weights", {"target": {"law": "orthonormal", "weights": "sphere"}}, "only the fields"),
    ("where", {"where": "n ~ k"}, "comparison"),
    ("where", {"where": "n > k"}, "leave a cell"),
    ("inputs", {"inputs": "uniform"}, "standard_normal"),
    ("inputs", {"inputs": "gaussian(variance=0)"}, "positive"),
    ("inputs", {"inputs": "gaussian(correlation=-0.3)"}, "-0.25 to 1"),
    ("inputs", {"inputs": "gaussian(mean=1)", "risk": "simplified"}, "standard_normal"),
    ("start.law", {"start": {"law": "he"}}, "glorot_normal"),
    ("start.scale", {"start": {"scale": 0}}, "positive"),
    ("start.wide", {"start": {"wide": 1}}, "only the fields"),
    ("freeze", {"freeze": "bias"}, "weights, readout"),
    ("freeze", {"freeze": ["weights", "readout"]}, "moves"),
    ("solver.method", {"solver": {"method": "adam"}}, "solve"),
    ("solver.gradient_tolerance", {"solver": {"gradient_tolerance": 0.0}}, "positive"),
    ("solver.max_steps", {"solver": {"max_steps": 1e3}}, "whole number"),
    ("risk", {"risk": "empirical"}, "population"),
    ("networks", {"networks": 1}, "true or false"),
    ("block", {"block": 0}, "whole number"),
    ("precision", {"precision": "float16"}, "float64"),
    ("seeds", {"seeds": 3}, "only the fields"),
    ("target", {"target": ["orthonormal", {"law": "orthonormal"}]}, "every entry once"),
    ("target", {"target": [{"readout": 1}, {"readout": 1.0}]}, "every entry once"),
    (
        "target.weights",
        {"target": {"law": "random", "weights": "gaussian(scale=2,scale=3)"}},
        "each once",
    ),
    ("target.weights", {"target": {"law": "random", "weights": "gaussian(,)"}}, "each once"),
    ("d", {"d": "999999999999*k"}, "at most 2147483647"),
    ("d", {"d": "9" * 5000 + "*k"}, "sum in k and n"),
    ("n", {"n": 10**5000}, "thousands of digits"),
    ("start.scale", {"start": {"scale": 10**400}}, "finite positive"),
    ("start.readout", {"start": {"readout": -(10**400)}}, "finite number"),
    ("target.readout", {"target": {"readout": 10**5000}}, "finite number"),
    ("solver.rtol", {"solver": {"rtol": 10**400}}, "finite positive"),
    ("start.scale", {"start": {"scale": 1e300}, "precision": "float32"}, "to 3.4e+38 in float32"),
    (
        "solver.gradient_tolerance",
        {"solver": {"gradient_tolerance": 1e-60}, "precision": "float32"},
        "1.4e-45",
    ),
    (
        "target.weights",
        {"target": {"law": "random", "weights": "sphere(scale=1e39)"}, "precision": "float32"},
        "3.4e+38",
    ),
    ("inputs", {"inputs": "gaussian(mean=1e39)", "precision": "float32"}, "3.4e+38"),
    (
        "inputs",
        {"inputs": "gaussian(correlation=-0.1)", "d": 60_000},
        "-1.67e-05 to 1",
    ),  # no matrix of 29 GB is made
]


@pytest.mark.parametrize(
    ("field", "changes", "said"), INVALID, ids=[f"{row[0]}-{row[2]}" for row in INVALID]
)
def test_an_invalid_plan_is_one_line_that_names_the_field(field, changes, said):
    with pytest.raises(ValueError, match=r"^Plan\.") as caught:
        plan(**changes)
    line = str(caught.value)
    assert line.startswith(f"Plan.{field}: ")
    assert said in line
    assert "\n" not in line
    assert line.count("; ") >= 2  # given; expected; what to do
    assert len(line) < 400


def test_a_missing_field_and_a_file_that_is_no_plan_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"^Plan\.runs: given None"):
        sweep.Plan.from_dict({name: given for name, given in GOOD.items() if name != "runs"})
    path = tmp_path / "plan.toml"
    with pytest.raises(ValueError, match=r"plan\.toml: .*cannot be read"):
        sweep.Plan.from_toml(path)
    for content in (b"runs = = 3", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"plan\.toml: given what is no TOML"):
            sweep.Plan.from_toml(path)
    path.write_text('activation = "erf"\nn = 2\nk = 4\nd = 5\nruns = 0\n')
    with pytest.raises(ValueError, match=r"plan\.toml: Plan\.runs: given 0"):
        sweep.Plan.from_toml(path)


def test_a_plan_survives_toml(tmp_path):
    given = plan(
        activation=["erf", "leaky_relu(0.1)"],
        n=[1, "k-1"],
        k=[4, 6],
        d=["k", "n+k"],
        target=[
            "orthonormal",
            {"law": "random", "weights": "sparse(probability=0.5)", "scaling": "1/sqrt(N)"},
        ],
        where=["n < k", "2*n <= d"],
        start={"readout": 1.0, "bias": True},
        freeze=["readout"],
        solver={"max_steps": 100, "gradient_tolerance": 1e-9},
    )
    path = tmp_path / "plan.toml"
    path.write_text(given.to_toml())
    assert sweep.Plan.from_toml(path) == given
    assert sweep.Plan.from_dict(given.to_dict()) == given
    assert tomllib.loads(given.to_toml()) == given.to_dict()
    assert sweep.Plan.from_toml(path).fingerprint == given.fingerprint != plan().fingerprint


def test_plans_of_one_content_have_one_fingerprint_however_their_numbers_are_spelled():
    whole = plan(
        target={"readout": 2},
        start={"scale": 1, "readout": 0},
        solver={"rtol": 1, "atol": np.float64(1)},
    )
    broken = plan(
        target={"readout": 2.0},
        start={"scale": 1.0, "readout": -0.0},
        solver={"rtol": 1.0, "atol": 1.0},
    )
    assert whole == broken
    assert whole.fingerprint == broken.fingerprint
    assert whole.to_toml() == broken.to_toml()


def test_labels_of_targets_tell_them_apart():
    readouts = (1.0000001, 1.0000002, 2.0, 1e-7, -3.5)
    cells = plan(target=[{"readout": readout} for readout in readouts]).cells
    assert [cell.target.label for cell in cells] == [
        "orthonormal(readout=1.0000001)",
        "orthonormal(readout=1.0000002)",
        "orthonormal(readout=2)",
        "orthonormal(readout=1e-07)",
        "orthonormal(readout=-3.5)",
    ]


def test_a_file_with_a_byte_order_mark_is_a_plan(tmp_path):
    (tmp_path / "plan.toml").write_bytes(b"\xef\xbb\xbf" + plan().to_toml().encode())
    assert sweep.Plan.from_toml(tmp_path / "plan.toml") == plan()


def test_a_grid_has_every_combination_that_its_conditions_keep():
    made = plan(activation=["erf", "relu"], n=[1, 2, 3], k=[2, 3], d=["k", 7], where="n < k")
    expected = [
        (f, n, k, d)
        for f in ("erf", "relu")
        for k in (2, 3)
        for n in (1, 2, 3)
        for d in (k, 7)
        if n < k
    ]
    assert [(c.activation, c.n, c.k, c.d) for c in made.cells] == expected
    assert made.total == 10 * len(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3),
        ("k+1", 6),
        ("2*k - n", 8),
        ("-1+k", 4),
        ("k*2", None),
        ("k+", None),
        ("", None),
        ("d", None),
    ],
)
def test_sums_of_sizes_come_to_their_value(text, expected):
    assert value(text, {"n": 2, "k": 5}) == expected


def test_comparisons_of_sizes_are_python_s():
    for text in ("n < k", "n<=2", "2*n != k - 1", "k == 5", "n >= k", "k > 4"):
        assert holds(text, {"n": 2, "k": 5}) == eval(text, {"n": 2, "k": 5})
    assert holds("n", {"n": 2}) is None
    assert holds("n < q", {"n": 2}) is None


@pytest.mark.parametrize(
    ("runs", "block"), [(1, 1), (10, 4), (9, 4), (10, 10), (10, 100), (97, 10), (4096, 1024)]
)
def test_blocks_hold_every_run_once_in_chunks_of_one_size(runs, block):
    made = plan(runs=runs, block=block, n=[1, 2])
    blocks = [block_of(made, number) for number in range(block_count(made))]
    assert [b.first + i for b in blocks for i in range(b.count)] == list(range(made.total))
    assert all(1 <= b.count <= block_size(made) <= block for b in blocks)
    assert all(b.offset % block_size(made) == 0 for b in blocks)
    assert len(blocks) == 2 * math.ceil(runs / block)
    assert all(
        block_with(made, run) == b for b in blocks for run in (b.first, b.first + b.count - 1)
    )
    for number in (-1, made.total, True, 1.0):
        with pytest.raises(ValueError, match="given run"):
            block_with(made, number)


def test_blocks_are_large_for_cheap_runs_and_small_for_wide_targets_of_their_own():
    blocks = [plan(n=n, k=2 * n, runs=10**6).block for n in (1, 3, 4, 8, 25)]
    assert blocks[0] == 16384
    assert blocks == sorted(blocks, reverse=True)
    assert blocks[-1] == 2048
    assert plan(block=7).block == 7
    wide = plan(k=10**6, d=50, target="random")
    assert wide.block * 10**6 * 51 * 8 <= 2**30
    assert plan(k=10**6, d=50, target="random", risk="simplified").block >= 2048
    assert sweep.Plan.from_dict(wide.to_dict()) == wide


def test_a_pool_begins_with_one_block_of_every_shape():
    made = plan(
        activation=["erf", "relu"],
        n=[2, 3],
        runs=6,
        block=2,
        target=[{"readout": 1.0}, {"readout": 2.0}],
    )
    numbers = [number for number in range(block_count(made)) if number != 0]
    shapes = [
        shape_of(made, block_of(made, number).cell) for number in each_shape_first(made, numbers)
    ]
    assert len(set(shapes[:4])) == 4
    assert sorted(each_shape_first(made, numbers)) == numbers
    rest = shapes[4:]
    assert sum(a != b for a, b in itertools.pairwise(rest)) == 3  # then shape by shape


def test_a_run_draws_from_its_number_alone():
    made = plan(n=[1, 2], start={"scale": 0.5})
    starts = initialize.Starts(
        jax.random.key(0), 20, initialize.glorot_normal, width=2, dim=5, activation=activations.erf
    )
    for runs in ([17], [13, 17, 11]):
        drawn = students_of(made, made.cells[1], np.array(runs))
        for i, run in enumerate(runs):
            np.testing.assert_allclose(drawn.weights[i], 0.5 * starts.draw(run).weights, rtol=1e-15)
            np.testing.assert_allclose(drawn.readout[i], 0.5 * starts.draw(run).readout, rtol=1e-15)


def test_no_setting_of_the_process_changes_what_is_drawn():
    made = plan(target="random", key=2**32 - 1, runs=2)
    alone = jax.random.fold_in(jax.random.key(2**32 - 1), 1)
    runs, cell = np.arange(2), made.cells[0]
    settings = {
        "jax_threefry_partitionable": False,
        "jax_random_seed_offset": 7,
        "jax_default_prng_impl": "rbg",
        "jax_enable_x64": True,
    }
    usual = {name: getattr(jax.config, name) for name in settings}
    drawn = (students_of(made, cell, runs), targets_of(made, cell, runs))
    start = initialize.glorot_normal(alone, 2, 5, activation=activations.erf)
    np.testing.assert_allclose(drawn[0].weights[1], start.weights, rtol=1e-15)
    try:
        for name, setting in settings.items():
            jax.config.update(name, setting)
        plain = jax.random.normal(jax.random.key(0), (3,))
        again = (students_of(made, cell, runs), targets_of(made, cell, runs))
    finally:
        for name, setting in usual.items():
            jax.config.update(name, setting)
    assert not np.array_equal(plain, jax.random.normal(jax.random.key(0), (3,)))
    for one, other in zip(jax.tree.leaves(drawn), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_starts_have_the_readout_and_biases_that_are_asked_for():
    made = plan(start={"readout": 1.0, "bias": True, "output_bias": True, "law": "glorot_uniform"})
    drawn = students_of(made, made.cells[0], np.arange(3))
    np.testing.assert_array_equal(drawn.readout, np.ones((3, 2)))
    assert drawn.bias.shape == (3, 2)
    assert drawn.output_bias.shape == (3,)
    assert np.abs(drawn.weights).max() <= math.sqrt(6 / 7)


@pytest.mark.parametrize("risk", ["population", "simplified"])
def test_random_targets_are_those_of_the_ensemble_by_run_or_by_cell(risk):
    made = plan(
        n=[1, 2], target={"law": "random", "readout": "gaussian(mean=1, std=0.5)"}, risk=risk
    )
    law = ensembles.Ensemble(
        4, 5, activation=activations.erf, readout=ensembles.GaussianReadout(1.0, 0.5)
    )

    def expected(run):
        network = law.draw(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), run), 2))
        return network if risk == "population" else target_moments(network)

    own = targets_of(made, made.cells[1], np.array([12, 15]))
    for i, run in enumerate((12, 15)):
        for drawn, wanted in zip(jax.tree.leaves(own), jax.tree.leaves(expected(run)), strict=True):
            np.testing.assert_allclose(drawn[i], wanted, rtol=1e-14, atol=1e-15)
    shared = targets_of(
        plan(
            n=[1, 2],
            target={"law": "random", "readout": "gaussian(mean=1, std=0.5)", "each": "cell"},
            risk=risk,
        ),
        dataclasses.replace(
            made.cells[1], target=sweep.Random(readout="gaussian(mean=1, std=0.5)", each="cell")
        ),
        np.array([12, 15]),
    )
    for drawn, wanted in zip(jax.tree.leaves(shared), jax.tree.leaves(expected(10)), strict=True):
        np.testing.assert_allclose(drawn, wanted, rtol=1e-14, atol=1e-15)


def test_a_plan_says_what_it_will_cost():
    made = plan(
        activation=["erf", "relu"],
        n=[2, 3],
        runs=100,
        block=30,
        target=[{"readout": 1.0}, {"readout": 2.0}],
    )
    cost = sweep.estimate(made)
    assert (cost.runs, cost.cells, cost.blocks) == (800, 8, 32)
    assert cost.shapes == 4  # the values of a target compile nothing
    numbers = 4 * 8 + 1 + 1 + 5 * 4  # four floats, a flag, a code and five counts a run
    assert cost.disk == 800 * numbers + 8 * (400 * (2 * 5 + 2) + 400 * (3 * 5 + 3))
    words = str(sweep.estimate(made))
    assert words.startswith("800 runs: 8 cells of 100, in 32 blocks of 25")
    assert "4 shapes" in words
    assert len(words.splitlines()) == 4
