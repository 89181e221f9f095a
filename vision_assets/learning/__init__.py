"""The tasks a line can have, one folder each, and what they share (torch).

Belongs here: networks, losses, what labels mean to them, the module that is exported. Does not
belong here: reading frames, augmentation, checkpoints (`training`), figures (`evaluation`). A new
task is one new folder with a ``task.py`` that holds ``TASK``; its name is the folder's.
"""
