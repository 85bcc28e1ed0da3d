"""Pairs without means in the coordinates of the weights themselves: the short closed forms of hot
loops.

`_forms`, of the absolute accuracy that a solver needs; `_hermite_remainder`, to full relative
accuracy among thousands of almost orthogonal neurons.
"""
