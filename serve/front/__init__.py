"""A fast front for `inspection.v1`: the wire of gRPC (HTTP/2) on one thread, without grpcio.

What belongs here: frames of HTTP/2 (`frames`), one connection's protocol (`connection`), and the
thread that reads sockets and hands frames to the workers (`front`). It serves the calls that a line
makes for every frame, on loopback or a Unix socket; all else, TLS too, is grpcio's
(`serve.server`). What does not belong here: anything about frames of pictures or verdicts.
"""
