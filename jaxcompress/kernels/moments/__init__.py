"""One Gaussian pair: the expectation of a product of two activations, and all its derivatives.

`_pair` takes five numbers; `_plane` and `_frames` (geometry) say what a pair of neurons is;
`_moments` states what each formula supplies and `_selection` which one serves which activations.
`_closed` adds up pairs of terms: by `_kinks` for two kinks, by `_exponentials` where at least one
function is smooth, by `_trigonometric` for sines and cosines, over `_scale_mixtures` of kinks.
`_relu` is the short form of ReLU with ReLU, `_quadrature` serves any function at all.
"""
