from .checkpoints import RunState as RunState
from .config import (
    RECIPES as RECIPES,
    CheckpointConfig as CheckpointConfig,
    TrainConfig as TrainConfig,
)
from .cross_validation.ensemble import ensemble_runs as ensemble_runs
from .cross_validation.folds import (
    collect_out_of_fold as collect_out_of_fold,
    refit as refit,
    train_fold as train_fold,
)
from .cross_validation.initial_weights import check_initial_weights as check_initial_weights
from .cross_validation.plan import Plan as Plan, start_run as start_run
from .dataset import Selection as Selection
from .monitoring import Callbacks as Callbacks
from .pseudo_labels import (
    PseudoLabels as PseudoLabels,
    apply_pseudo_labels as apply_pseudo_labels,
    describe_pseudo_labels as describe_pseudo_labels,
)
from .trainer import TrainingRun as TrainingRun
