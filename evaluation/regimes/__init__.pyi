from .controls import believed_by as believed_by
from .controls import terciles as terciles
from .outcomes import Explained as Explained
from .outcomes import explained as explained
from .outcomes import next_day as next_day
from .periods import Periods as Periods
from .periods import measure_periods as measure_periods
