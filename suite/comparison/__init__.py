"""How a comparison is held, piece by piece."""
