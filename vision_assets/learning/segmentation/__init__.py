"""Where each kind of defect is, pixel by pixel: a mask for every class.

Belongs here: the decoder, its loss, the exported graph.
"""

NEEDS_DEFECTS = True
VERSION = 1
"""Raised whenever equal inputs would train other weights."""
