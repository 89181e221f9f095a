"""The line's rule-based check: learned from good frames, judged before it may pass anything.

Belongs here: choosing frames, thresholds and limits, and whether the check is of any use. Does not
belong here: how a frame is compared (`inspection.rulebased`).
"""
