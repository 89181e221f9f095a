"""The Open Inference Protocol (KServe v2, gRPC) beside `inspection.v1`, over the same handlers.

Belongs here: its messages to and from frames and outcomes, and its servicer. Does not belong here:
the protocol file (`serve.protocol`), and whatever judges a frame.
"""
