"""The learned world: V (a VAE), M (an MDN-RNN), their training, and the world-model artefact."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
