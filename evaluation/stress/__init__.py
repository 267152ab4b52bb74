"""Tail scenarios of a dream: sampled by importance splitting, traded, and held against the record."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
