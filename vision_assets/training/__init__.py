"""A snapshot becomes a model: frames are read, augmented and learnt from, in a process of its own.

Belongs here: the order and the look of training frames, optimisation, checkpoints, what a trained
model leaves behind. Does not belong here: networks and losses (`learning`), how good the model is
(`evaluation`).
"""
