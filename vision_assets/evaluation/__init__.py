"""Model -> evaluation: what it does on frames it has never seen, and the rule that decides.

Belongs here: metrics with their intervals, calibration, the choice of thresholds, pictures, the
comparison with other releases. Does not belong here: applying a rule (`inspection.decision`).
"""
