from .config import BarModelConfig as BarModelConfig
from .world_model import BarWorldModel as BarWorldModel
