"""Landing area to verified frames: decode, hash, statistics, shards, index, quarantine.

Belongs here: what turns a complete delivery into frames that later steps may trust. Does not belong
here: labels (`vision_assets.labels`), and what frames show.
"""
