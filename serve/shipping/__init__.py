"""Rows of the spool and kept frames on their way to where they are to be, in a process of its own.

Here: what is shipped and how far (`cursor`, `shipper`), one file for each place (`parquet`,
`postgres`, `mqtt`, `landing`), the process that does it (`program`) and its parent's side of it
(`child`). Not here: the spool (`serve.spool`) and the choice of frames to keep (`serve.keeping`).
"""
