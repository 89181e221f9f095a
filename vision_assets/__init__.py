"""The lineage of a line, one folder per step in the order data flows.

Each step's ``assets.py`` and ``checks.py`` hold what Dagster sees and stay thin; the modules beside
them do the work, are plain Python and can be called from a notebook or a test without Dagster.
"""
