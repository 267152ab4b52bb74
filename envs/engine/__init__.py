"""The dream's dynamics: M stepped from injected noise, many lanes or one."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
