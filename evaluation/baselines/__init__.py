"""Forecasts and dreams that a world model has to beat, fitted in seconds on the training range."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
