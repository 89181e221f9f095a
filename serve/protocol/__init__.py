"""`inspection.v1` on the wire: the protocol file and the code generated from it.

Belongs here: ``inspection_v1.proto``, what protoc makes of it, and how to make it again. Does not
belong here: anything that knows what a frame is; see `serve.servicer`.
"""
