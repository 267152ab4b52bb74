"""Who acts: the linear controller, CMA-ES, Stable-Baselines3 agents and rule-based baselines."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
