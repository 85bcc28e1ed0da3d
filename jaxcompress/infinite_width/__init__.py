"""Infinitely wide two-layer ReLU networks: the mean-field flow, what its symmetries leave of it,
and its limits.

What enters: a target by its moments (a network, `‖x_H‖`, odd targets, Hermite expansions of any
function), a centred input law, a start of balanced particles `(a, b)`. What leaves: paths of
particles, or of the few numbers that are left of them by symmetry; closed forms for odd targets;
masses, angles, predictors; and networks again. Predictors are means over particles, `f = Σ share a
relu(b·x)`, and the risk here is `F = ½ E (f* − f)²`, with the ½ of Hajjar & Chizat 2022.

`flow(system, start, times)` follows one start, `flow_many` a batch. Systems: `ParticleSystem` for
whole neurons, `ReducedSystem` for their orbits under rotations of H⊥, `AngleSystem` for `‖x_H‖`,
`MomentSystem` for odd targets.
"""

from jaxcompress.infinite_width._angle_kernels import (
    AbstractAngleKernel,
    Quadrature,
    Spectral,
    angle_kernel,
)
from jaxcompress.infinite_width._angles import AngleSystem, angle_start
from jaxcompress.infinite_width._flow import (
    AbstractMethod,
    Adaptive,
    FixedSteps,
    Path,
    flow,
    flow_many,
)
from jaxcompress.infinite_width._hermite_target import HermiteTarget, hermite_target
from jaxcompress.infinite_width._lift import lift, lift_angles
from jaxcompress.infinite_width._norm_target import AngleProfile, NormTarget, norm_mass
from jaxcompress.infinite_width._observables import (
    LimitDistance,
    Signed,
    alignment,
    angle_histogram,
    far_dependence,
    function_gap,
    limit_distance,
    masses,
    sphere_predictor,
)
from jaxcompress.infinite_width._odd import (
    IsotropicOdd,
    MomentSystem,
    isotropic_moments,
    linear_part,
    odd_moment,
    predictor,
    second_moments,
)
from jaxcompress.infinite_width._particles import (
    AngleParticles,
    Particles,
    ReducedParticles,
    reduce_particles,
    to_angles,
)
from jaxcompress.infinite_width._starts import (
    doubled_start,
    paired_start,
    reduced_start,
    uniform_start,
)
from jaxcompress.infinite_width._symmetry import (
    Action,
    Match,
    SymmetryReport,
    average_start,
    far_rotations,
    inputs_defect,
    match_start,
    permutations,
    reflections,
    sign_flips,
    symmetry_report,
    target_defect,
)
from jaxcompress.infinite_width._system import AbstractSystem, Motion, ParticleSystem, ReducedSystem
from jaxcompress.infinite_width._targets import (
    AbstractTarget,
    NetworkTarget,
    OddTarget,
    linear_target,
    odd_polynomial,
)

__all__ = [
    "AbstractAngleKernel",
    "AbstractMethod",
    "AbstractSystem",
    "AbstractTarget",
    "Action",
    "Adaptive",
    "AngleParticles",
    "AngleProfile",
    "AngleSystem",
    "FixedSteps",
    "HermiteTarget",
    "IsotropicOdd",
    "LimitDistance",
    "Match",
    "MomentSystem",
    "Motion",
    "NetworkTarget",
    "NormTarget",
    "OddTarget",
    "ParticleSystem",
    "Particles",
    "Path",
    "Quadrature",
    "ReducedParticles",
    "ReducedSystem",
    "Signed",
    "Spectral",
    "SymmetryReport",
    "alignment",
    "angle_histogram",
    "angle_kernel",
    "angle_start",
    "average_start",
    "doubled_start",
    "far_dependence",
    "far_rotations",
    "flow",
    "flow_many",
    "function_gap",
    "hermite_target",
    "inputs_defect",
    "isotropic_moments",
    "lift",
    "lift_angles",
    "limit_distance",
    "linear_part",
    "linear_target",
    "masses",
    "match_start",
    "norm_mass",
    "odd_moment",
    "odd_polynomial",
    "paired_start",
    "permutations",
    "predictor",
    "reduce_particles",
    "reduced_start",
    "reflections",
    "second_moments",
    "sign_flips",
    "sphere_predictor",
    "symmetry_report",
    "target_defect",
    "to_angles",
    "uniform_start",
]
