from .config import MarketConfig as MarketConfig
