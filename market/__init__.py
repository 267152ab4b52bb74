"""What is wrapped: candles, where they come from, features, and the account that trades them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
