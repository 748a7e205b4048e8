from .assessment import (
    Assessment as Assessment,
    Compared as Compared,
    choosing_on as choosing_on,
    compare as compare,
    of_bundle as of_bundle,
    of_tables as of_tables,
)
from .calibration import (
    Targets as Targets,
    choose_thresholds as choose_thresholds,
    learn_calibration as learn_calibration,
)
from .fit_study_rule import (
    RuleComparison as RuleComparison,
    compare_rules as compare_rules,
    learn_rule as learn_rule,
    verdicts as verdicts,
)
from .html_report import render_page as render_page
from .map_benchmark import (
    MapScore as MapScore,
    Row as Row,
    folds_of as folds_of,
    load_together as load_together,
    score as score,
    table as table,
    trained_on as trained_on,
    write_table as write_table,
)
from .match_tables import read_predictions as read_predictions
from .metrics import (
    Report as Report,
    bundle_metrics as bundle_metrics,
    evaluate as evaluate,
    quick_metrics as quick_metrics,
)
from .recalibration import (
    check_apart as check_apart,
    recalibrate as recalibrate,
    write_learned as write_learned,
)
from .record import Measured as Measured, to_json as to_json, write_evaluation as write_evaluation
from .run_bundle import check_prepared as check_prepared
