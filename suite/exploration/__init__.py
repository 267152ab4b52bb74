"""What `explore` does, piece by piece."""
