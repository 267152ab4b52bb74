from .export import to_frame as to_frame
from .export import write_candles as write_candles
from .reader import TableSource as TableSource
from .reader import read_candles as read_candles
from .reader import read_funding as read_funding
