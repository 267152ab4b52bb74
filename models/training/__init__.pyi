from .callbacks import TensorBoardCallback as TensorBoardCallback
from .callbacks import TrainingCallback as TrainingCallback
from .callbacks import TrainingHistory as TrainingHistory
from .default_model import build_default as build_default
from .train import train_world_model as train_world_model
