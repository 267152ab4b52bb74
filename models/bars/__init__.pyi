from .config import BarModelConfig as BarModelConfig
