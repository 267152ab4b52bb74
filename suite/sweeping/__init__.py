"""A sweep over settings: what is varied, and what a trial of it is worth on validation."""
