"""Unlike anything good: learns from good frames alone what good parts look like.

Belongs here: the memory of good patches, the network around it, the exported graph.
"""

NEEDS_DEFECTS = False
VERSION = 1
"""Raised whenever equal inputs would train other weights."""
