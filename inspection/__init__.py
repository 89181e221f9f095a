"""A frame in, a verdict out: decode, preprocess, engines, decision, statistics, bundle format.

Belongs here: all that training, evaluation, gates, audits and the line must do alike. Does not
belong here: training libraries, dagster, transport. Imports `store` and nothing else of ours.
"""
