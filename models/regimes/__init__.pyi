from .following import RegimeFilter as RegimeFilter
from .opening import open_regimes as open_regimes
from .regimes import Regimes as Regimes
from .traits import Traits as Traits
