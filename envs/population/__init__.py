"""Many policies at once: what they score, in blocks of work that anybody may compute."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
