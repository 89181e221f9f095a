"""The rule-based check: a golden template and classical measures, for when no engine can run.

Belongs here: aligning a frame to its template, the difference, the measures, the check as one
versioned file, and the inspector that answers with it. Does not belong here: how thresholds are
chosen (`vision_assets.rule_based`), and when the check answers (`serve`).
"""
