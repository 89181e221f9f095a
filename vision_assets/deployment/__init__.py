"""Bundle -> release: promotion, rollback and what is live.

Belongs here: the only writers of a line's ledger. Does not belong here: serving.
"""
