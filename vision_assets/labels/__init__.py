"""Label events, formats in, the current label.

Belongs here: what is said of frames and how it gets in: label rows of a delivery, data sets on
disk (`formats/`), class masks, the rule that tells the current label. Does not belong here: which
frames a data set takes (`dataset`), and where events are kept (`store.events`).
"""
