from .checkpoints import RunState as RunState
from .config import RECIPES as RECIPES, TrainConfig as TrainConfig
from .cross_validation import gather as gather, refit as refit, train_fold as train_fold
from .ensemble import join_runs as join_runs
from .fit import CheckpointConfig as CheckpointConfig
from .plan import Plan as Plan, begin as begin
from .pseudo_labels import PseudoLabels as PseudoLabels, pseudo_label as pseudo_label, tell as tell
from .sampler import Selection as Selection
from .trainer import TrainingRun as TrainingRun, Watch as Watch
