"""What every subpackage needs once: checks, whole files, progress bars, names that have changed.

What enters: arguments as users gave them, paths, old names. What leaves: the same, checked; files
that are there whole or not at all; the new names, with a warning. Nothing here knows of networks.
"""
