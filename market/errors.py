"""The errors that a user can cause, each saying what was expected, what came, and the cure."""


class WorldModelTradingError(Exception):
    """Base of every error that this package raises on bad input; the command line prints it."""


class CandleError(WorldModelTradingError, ValueError):
    """Candles that are no candles: a row, a column or a file that breaks the rules."""


class TableError(WorldModelTradingError, ValueError):
    """A file or frame that is no table of what was asked for.

    `read_candles` raises it as a `CandleError`, `read_funding` as a `FundingError`.
    """


class FeatureError(WorldModelTradingError, ValueError):
    """Features that cannot be computed, or that are not those a world model was trained on."""


class OtherMarketError(FeatureError):
    """Bars of another interval or symbol than a world model was trained on."""


class OtherMarketWarning(UserWarning):
    """Bars of another symbol than a world model was trained on, where that may be meant."""


class ConfigError(WorldModelTradingError, ValueError):
    """A setting with an impossible value, or an unknown one."""


class UnknownArgumentError(ConfigError, TypeError):
    """A keyword argument that is not taken: as such a TypeError, which some tools look for."""


class MissingPackageError(WorldModelTradingError, ImportError):
    """Work that needs a package which an extra of the installation brings, and which is not there."""


class ModelFileError(WorldModelTradingError, ValueError):
    """A world model or controller on disk that is incomplete, altered, or of another format."""


class TrainingError(WorldModelTradingError, RuntimeError):
    """Training that cannot start or cannot go on."""


class TrainingBarsError(WorldModelTradingError, ValueError):
    """An evaluation on bars that the world model was trained on."""


class ActionError(WorldModelTradingError, ValueError):
    """An action outside its space."""


class StoreError(WorldModelTradingError, ValueError):
    """Stored market data that are absent, truncated or altered, or that cannot be written."""


class StoreFormatError(StoreError):
    """Stored market data that another version of this package wrote; they are left alone."""


class OutputError(WorldModelTradingError, OSError):
    """A file or folder that cannot be written: no room, no permission, or another process at it."""


class BybitError(WorldModelTradingError, RuntimeError):
    """Bybit could not be asked, or answered with an error."""


class BybitRequestError(BybitError):
    """A request that Bybit refuses however often it is sent: unknown symbol, bad parameter."""


class BybitBlockedError(BybitError):
    """Bybit shuts this address out: too many requests, or a country it does not serve."""


class BybitAnswerError(BybitError):
    """An answer that is not what Bybit documents: no JSON, a field absent, text for a number."""


class BybitUnavailableError(BybitError):
    """Bybit stayed unreachable or busy through every retry."""


class FundingError(WorldModelTradingError, ValueError):
    """Funding rates that are none: a row, a column or a file that breaks the rules."""


class WorkerError(WorldModelTradingError, RuntimeError):
    """A worker process that failed at its work, or that could not begin it."""
