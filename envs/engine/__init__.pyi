from .engine import DreamEngine as DreamEngine
from .engine import DreamState as DreamState
from .engine import Noise as Noise
