"""Good or defective, and which defects: an image score, class scores and a map of cells.

Belongs here: the network, its loss, its targets, the exported graph.
"""

NEEDS_DEFECTS = True
VERSION = 2
"""Raised whenever equal inputs would train other weights."""
