"""How V and M are trained, and what is done to M afterwards."""
