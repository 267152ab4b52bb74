from .export import to_frame as to_frame
from .export import write_candles as write_candles
from .paths import read_path as read_path
from .paths import read_paths as read_paths
from .paths import write_paths as write_paths
from .reader import TableSource as TableSource
from .reader import read_candles as read_candles
from .reader import read_funding as read_funding
