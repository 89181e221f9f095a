"""What starts runs by itself, one sensor a file. A sensor decides from the store and its cursor."""
