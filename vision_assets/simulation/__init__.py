"""Renders production batches into the landing area, for demos, tests and drift experiments.

Here belongs what makes a plausible frame: the part (`blanks`, `textures`), the camera's place
(`stage`), what production leaves on good parts (`blemishes`) and what is wrong with bad ones
(`defects`). What reads frames does not belong here.
"""
