"""The server against every peer that installs here: clients, peers, one interleaved run, a table.

``python -m benchmarks.serve`` measures, ``… install`` makes the peers' environments, ``… build``
compiles the clients. Nothing here is imported by the product.
"""
