"""Many pairs: the table of two families of neurons, with its derivatives, and sums over it.

`_gram` (what users call) checks and chooses: `_pairwise` measures every pair in its own plane,
exact at every corner; `_products` makes large tables without means of matrix products, whose
entries are the `_correlations`; `_series` sums Hermite series, `_diagonal` integrates a neuron with
itself, `_completed` puts the exact formulas where series are too long, `_spectral` states the
derivatives of all that; `_blocks` gives memory back between rows. `_gram_error` bounds a
table's error. `_gated` (what users call) has products of gated neurons: `_gated_tables` makes them
of `_derivative_tables` by Stein's lemma, `_gated_kinks` for two sharp kinks in the pairs' planes.
`_dual` has the kernels of infinitely wide networks.
"""
