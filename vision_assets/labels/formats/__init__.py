"""Data set layouts: one module per layout, each reading a folder into `frame.ImportedFrame`s.

Belongs here: what a layout means. Does not belong here: the landing area and the line's settings
(`importing`). A further layout is one module with ``read(source)`` and one line in `registry`.
"""
