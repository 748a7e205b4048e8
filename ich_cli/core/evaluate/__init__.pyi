from .calibration import (
    Targets as Targets,
    choose_thresholds as choose_thresholds,
    learn_calibration as learn_calibration,
)
from .comparison import Comparison as Comparison, compare_models as compare_models
from .labelled_predictions import (
    Evaluation as Evaluation,
    LabelledPredictions as LabelledPredictions,
    from_bundle as from_bundle,
    from_folds as from_folds,
    from_tables as from_tables,
    with_best_f1_of as with_best_f1_of,
    with_images as with_images,
)
from .map_benchmark import (
    MapScore as MapScore,
    MapSummary as MapSummary,
    score_maps as score_maps,
    summarize_scores as summarize_scores,
    write_map_summaries as write_map_summaries,
)
from .match_tables import read_predictions as read_predictions
from .metrics import (
    Report as Report,
    bundle_metrics as bundle_metrics,
    evaluate as evaluate,
    quick_metrics as quick_metrics,
)
from .output.files import to_json as to_json, write_evaluation as write_evaluation
from .output.html_report import render_page as render_page
from .recalibration import (
    check_disjoint as check_disjoint,
    recalibrate as recalibrate,
    write_learned as write_learned,
)
from .run_bundle import (
    check_prepared as check_prepared,
    describe_training as describe_training,
    load_ensemble as load_ensemble,
    unseen_by_fold as unseen_by_fold,
)
from .seen_slices import find_seen as find_seen
from .study_rules import (
    AggregationResult as AggregationResult,
    compare_aggregations as compare_aggregations,
    count_verdicts as count_verdicts,
    learn_rule as learn_rule,
)
