"""Bybit's public data: client, store, fetching and the live feed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
