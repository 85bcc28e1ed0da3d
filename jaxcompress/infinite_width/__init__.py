"""Infinitely wide two-layer ReLU networks: the mean-field flow, its reductions by symmetries, and
its limits.

What enters: a target known by its moments (a network, `‖x_H‖`, odd targets, Hermite expansions of
any function), a centred input distribution, and an initial point of balanced particles `(a, b)`.
What leaves: paths of particles, or of the few numbers that a symmetry leaves of them; closed forms
for odd targets; masses, angles, predictors; and networks again.

H are the `dim_target = d_H` coordinates that the target reads, H⊥ the `dim_rest = d_⊥ = d − d_H`
others. Predictors are means over particles, `f = Σ share a relu(b·x)`. Hajjar & Chizat 2022 put a
factor ½ before the risk, `F = ½ E (f* − f)²`; here it is called `half_risk`, and `2·half_risk` is
`population_risk` of the network.

| question | function |
| --- | --- |
| how does a flow go on from one initial point, or from many? | `flow`, `flow_batch` |
| which system? whole neurons | `ParticleSystem` |
| orbits under rotations of H⊥, in any dimension | `ReducedSystem` |
| the target `‖x_H‖`, by angles alone | `AngleSystem` |
| an odd target, by second moments; in closed form | `MomentSystem`; `IsotropicOdd` |
| where does it begin? | `uniform_start`, `paired_start`, `doubled_start` |
| … as orbits; as angles | `reduced_start`; `angle_start` |
| what does it keep? | `symmetry_report` |

>>> from jaxcompress import infinite_width as iw
>>> path = iw.flow(iw.AngleSystem(3, 7), iw.angle_start(3, 7, nodes=50), times=[1.0, 2.0])
>>> path.half_risk.shape
(2,)
"""

from typing import TYPE_CHECKING

from jaxcompress._internal.deprecation import renamed
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
    flow_batch,
)
from jaxcompress.infinite_width._groups import (
    Action,
    complement_rotations,
    permutations,
    reflections,
    sign_flips,
)
from jaxcompress.infinite_width._hermite_target import HermiteTarget, hermite_target
from jaxcompress.infinite_width._lift import lift, lift_angles
from jaxcompress.infinite_width._norm_target import AngleProfile, NormTarget, norm_mass
from jaxcompress.infinite_width._observables import (
    LimitDistance,
    Signed,
    alignment,
    angle_histogram,
    conditional_variance,
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
    Matching,
    SymmetryReport,
    average_start,
    inputs_defect,
    match_start,
    symmetry_report,
    target_defect,
)
from jaxcompress.infinite_width._system import (
    AbstractSystem,
    ParticleSystem,
    ReducedSystem,
    Velocity,
)
from jaxcompress.infinite_width._targets import (
    AbstractFlowTarget,
    NetworkTarget,
    OddTarget,
    linear_target,
    odd_polynomial,
)

__all__ = [
    "AbstractAngleKernel",
    "AbstractFlowTarget",
    "AbstractMethod",
    "AbstractSystem",
    "Action",
    "Adaptive",
    "AngleParticles",
    "AngleProfile",
    "AngleSystem",
    "FixedSteps",
    "HermiteTarget",
    "IsotropicOdd",
    "LimitDistance",
    "Matching",
    "MomentSystem",
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
    "Velocity",
    "alignment",
    "angle_histogram",
    "angle_kernel",
    "angle_start",
    "average_start",
    "complement_rotations",
    "conditional_variance",
    "doubled_start",
    "flow",
    "flow_batch",
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

if not TYPE_CHECKING:
    __getattr__ = renamed(
        __name__,
        {
            "AbstractTarget": "AbstractFlowTarget",
            "Motion": "Velocity",
            "Match": "Matching",
            "flow_many": "flow_batch",
            "far_dependence": "conditional_variance",
            "far_rotations": "complement_rotations",
        },
    )
