from .families import FamilyAudit as FamilyAudit
from .families import WorldPays as WorldPays
from .families import audit_families as audit_families
from .families import score_families as score_families
from .rank_agreement import RankAgreement as RankAgreement
from .rank_agreement import measure_rank_agreement as measure_rank_agreement
from .rank_agreement import random_controllers as random_controllers
from .venues import Family as Family
