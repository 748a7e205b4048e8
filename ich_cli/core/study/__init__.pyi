from .aggregation import AGGREGATIONS as AGGREGATIONS, aggregate as aggregate
from .logistic import sigmoid as sigmoid
from .predictions import (
    Probabilities as Probabilities,
    SlicePrediction as SlicePrediction,
    StudyPrediction as StudyPrediction,
    by_study as by_study,
    over_thresholds as over_thresholds,
)
from .rule import LEARNED as LEARNED, StudyRule as StudyRule
from .slice_facts import SliceFacts as SliceFacts, measure as measure
