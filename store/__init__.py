"""Where things are kept: keys, layout, documents, artifacts, shards, tables and the release ledger.

Belongs here: everything that knows a path in the store or the format of a stored file.
Does not belong here: anything that knows what a frame shows. Imports nothing else of ours.
"""
