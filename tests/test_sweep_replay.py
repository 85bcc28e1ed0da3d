"""One run of a sweep again, from its number: alone with its trajectory, or bit for bit with its
block.
"""

import numpy as np
import pytest
import xarray

import jaxcompress as jc
from jaxcompress import sweep
from jaxcompress.sweep import _blocks, _layout
from jaxcompress.sweep._solving import arrays_of
from jaxcompress.sweep._store import open_store
from tests.sweep_child import FEW, LANES, done_sweep, small_plan


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """An undisturbed sweep, and what its progress was."""
    return done_sweep(tmp_path_factory.mktemp("sweep") / "done")


def test_a_block_is_repeated_bit_for_bit(done):
    store = open_store(done[0])
    for number, run in ((1, 4), (7, 21)):
        block = _blocks.block_of(store.plan, number)
        runs, solution = sweep.replay_block(done[0], run, slots=LANES)
        assert runs == range(block.first, block.first + block.count)
        for path, data in _layout.chunks_of(
            store.plan, block, arrays_of(store.plan, block, solution)
        ):
            assert (done[0] / path).read_bytes() == data


def test_a_run_alone_ends_where_it_ends_in_the_sweep(done):
    with xarray.open_zarr(done[0], group="networks/erf-n1-d2") as ends:
        for source in (done[0], small_plan(runs=FEW)):
            again = sweep.replay(source, FEW + 4)
            start, target = sweep.problem_of(source, FEW + 4)
            np.testing.assert_allclose(again.network.weights, ends.weights.values[1, 4], atol=2e-6)
            np.testing.assert_allclose(again.network.readout, ends.readout.values[1, 4], atol=2e-6)
            assert bool(again.converged)
            assert abs(again.stats["trajectory_gap"]) < 1e-12
            np.testing.assert_allclose(again.trajectory.weights[0], start.weights, atol=0.05)
            np.testing.assert_allclose(
                again.trajectory.weights[-1], again.network.weights, atol=1e-6
            )
            np.testing.assert_array_equal(target.readout, [2.0, 2.0])


def test_a_trajectory_is_a_dataset_from_the_start_of_a_run_to_its_end(done):
    way = sweep.trajectory(done[0], FEW + 3, save_at=[0.0, *np.geomspace(0.1, 1000, 127)])
    start, target = sweep.problem_of(done[0], FEW + 3)
    np.testing.assert_array_equal(way.overlaps[0], start.weights @ target.weights.T)
    np.testing.assert_array_equal(way.own_overlaps[0], start.weights @ start.weights.T)
    np.testing.assert_array_equal(way.readout[0], start.readout)
    np.testing.assert_allclose(way.risk[0], jc.population_risk(start, target), rtol=1e-14)
    assert (np.diff(way.risk) <= 1e-12).all()
    assert all(values.attrs["long_name"] for values in way.variables.values())
    assert (way.run, way.n, way.k, way.target) == (FEW + 3, 1, 2, "orthonormal(readout=2)")
    stored = sweep.stored_run(done[0], FEW + 3)
    assert stored["result"] == "converged"
    assert abs(way.risk[-1] - stored["risk"]) < 1e-12
    assert abs(way.end_risk - stored["risk"]) < 1e-12


def test_a_polished_run_alone_has_the_end_and_the_index_that_are_stored(tmp_path):
    state = sweep.run(small_plan(runs=3, solver={}), tmp_path / "polished", slots=LANES)
    assert state.converged == 6
    again = sweep.replay(tmp_path / "polished", 5)
    group = xarray.open_zarr(tmp_path / "polished", group="networks/erf-n1-d2")
    with xarray.open_zarr(tmp_path / "polished") as data, group as ends:
        assert int(again.index) == data["index"].values[1, 2] == 0
        assert abs(float(again.risk) - data.risk.values[1, 2]) < 1e-13
        np.testing.assert_allclose(again.network.weights, ends.weights.values[1, 2], atol=1e-8)
        np.testing.assert_allclose(again.network.readout, ends.readout.values[1, 2], atol=1e-8)
