"""Engines: what runs a graph, one module per runtime.

Belongs here: pixels in, `Outputs` out. Does not belong here: decoding, verdicts, the choice among
engines (`inspection.choose`). A new runtime is one module here and one line in `engine.py`.
"""
