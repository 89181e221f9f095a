"""What assets and sensors get handed by Dagster: the store. No work is done here."""
