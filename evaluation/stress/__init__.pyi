from .conditions import Condition as Condition
from .events import EVENTS as EVENTS
from .guide import Stepper as Stepper
from .results import StressResults as StressResults
from .splitting import Sampled as Sampled
from .splitting import sample_condition as sample_condition
from .steppers import DreamStepper as DreamStepper
from .steppers import SyntheticStepper as SyntheticStepper
