"""Experimental: dreams and accounts on a GPU, in PyTorch. Never measured on one yet."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
