"""Steps from the landscape of one width to the next: neurons split, merged, dropped and grown, and
the risk along the lines between networks.
"""
