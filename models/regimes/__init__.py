"""Regimes: the market's moods, found in what a world model makes of its bars."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
