from .rank_agreement import RankAgreement as RankAgreement
from .rank_agreement import measure_rank_agreement as measure_rank_agreement
from .rank_agreement import random_controllers as random_controllers
