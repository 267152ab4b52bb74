"""What regimes are worth: what they tell of the next day, and what happened in each."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
