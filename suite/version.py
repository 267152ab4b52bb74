"""The installed version, read when somebody asks."""

from importlib.metadata import version

__version__ = version("worldmodel-trading")
