"""Evaluated model -> bundle: graphs, INT8, TensorRT plans, golden frames, evidence, gates, card.

Belongs here: what turns torch weights into files the line can run, and the proof that they answer
like torch. Does not belong here: choosing thresholds (`evaluation`), making a release
(`deployment`).
"""
