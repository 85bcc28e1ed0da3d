"""What a user may write, for type checkers to read; `test_types.py` says what they must see. It is
not run.
"""

from typing import reveal_type

import jax
import jax.numpy as jnp

import jaxcompress as jc

key = jax.random.key(0)
erf = jc.activations.erf
target = jc.targets.orthonormal(6, 7, activation=erf)
student = jc.initialize.glorot_normal(key, 3, 7, activation=erf)
starts = jc.initialize.glorot_normal(key, 3, 7, activation=erf, runs=16)
reveal_type(target)
reveal_type(student)
reveal_type(jc.population_risk(student, target))
reveal_type(jc.risk_hessian(student, target))
reveal_type(jc.solve(student, target))
reveal_type(jc.solve_many(starts, target).best.network)
reveal_type(jc.gradient_flow(student, target))
reveal_type(jc.flow_many(starts, target))
reveal_type(jc.critical_points(starts, target))
reveal_type(jc.compress(target, 3, key=key).report)
reveal_type(jc.target_moments(target))
reveal_type(jc.simplified_risk(student, jc.target_moments(target)))
reveal_type(jc.simplified_risk_bound(student, target))
reveal_type(jc.kernels.gram(erf, student.weights, erf, target.weights))
reveal_type(jc.theory.one_neuron(erf, 6))
reveal_type(jc.theory.copy_average(target, (1, 5)))
reveal_type(jc.theory.tight_frame(jc.target_moments(target), 3, 7))
reveal_type(jc.landscape.distance(student, student))
reveal_type(jc.landscape.classify(student, target))
reveal_type(jc.landscape.census_of(jc.solve_many(starts, target), target))
reveal_type(jc.load("net.npz"))
reveal_type(jc.sweep.estimate(jc.sweep.Plan.from_toml("plan.toml")))
reveal_type(jc.empirical_risk(student, jc.Samples(jnp.zeros((4, 7)), jnp.zeros(4))))
reveal_type(jc.sectors.copy_average_sector(3, 6))
