"""What can be launched, one job a file: the same jobs from the command line, the UI and sensors."""
