"""Labelled frames -> a frozen snapshot in which every frame has one role.

Belongs here: which frames a model may learn from and which it is judged on. Does not belong here:
reading pixels.
"""
