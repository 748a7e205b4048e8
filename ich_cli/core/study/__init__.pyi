from .aggregation import AGGREGATIONS as AGGREGATIONS, aggregate as aggregate
from .logistic import sigmoid as sigmoid
from .predictions import (
    Probabilities as Probabilities,
    SeriesPrediction as SeriesPrediction,
    SlicePrediction as SlicePrediction,
    StudyPrediction as StudyPrediction,
    over_thresholds as over_thresholds,
)
from .rule import FITTED_AGGREGATION as FITTED_AGGREGATION, StudyRule as StudyRule
from .sections import Sections as Sections
from .series_choice import Candidate as Candidate, choose_series as choose_series
from .slice_facts import SliceFacts as SliceFacts, measure as measure
from .studies import (
    StudyGroup as StudyGroup,
    by_study as by_study,
    group_by_study as group_by_study,
    predict_study as predict_study,
    urgency as urgency,
)
