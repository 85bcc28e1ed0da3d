"""One neuron as its Hermite coefficients, `c_k(μ, σ) = E[f(μ + σz) he_k(z)]`.

What enters: an activation, means and standard deviations of pre-activations. What leaves: the
coefficients, one degree after another, and a bound of what is left beyond any of them. `_kinks` has
kinks and their powers, sharp or smoothed, with all scale mixtures; `_smooth` polynomials,
exponentials and waves; `_sampled` functions that are known by their values alone; `_spectrum` adds
up what a function is the sum of.
"""
