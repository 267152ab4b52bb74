from .bar_engine import BarEngine as BarEngine
from .base import Engine as Engine
from .base import Noise as Noise
from .opening import open_engine as open_engine
from .paper_engine import PaperEngine as PaperEngine
