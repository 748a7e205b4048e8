from .console import (
    as_steps as as_steps,
    is_terminal as is_terminal,
    note as note,
    plain as plain,
    progress as progress,
    stdout as stdout,
    warn as warn,
)
from .map_tables import markdown as markdown, print_scores as print_scores
from .metric_tables import (
    print_aggregations as print_aggregations,
    print_comparison as print_comparison,
    print_report as print_report,
)
from .options import (
    AnonymousPaths as AnonymousPaths,
    BatchSize as BatchSize,
    Device as Device,
    Engine as Engine,
    Json as Json,
    Limit as Limit,
    NiftiFolder as NiftiFolder,
    Output as Output,
    Paths as Paths,
    PictureWindowOption as PictureWindowOption,
    Quiet as Quiet,
    Seed as Seed,
    Threshold as Threshold,
    Weights as Weights,
    Workers as Workers,
    command_class as command_class,
    deprecated_aliases as deprecated_aliases,
    parse_limits as parse_limits,
    parse_names as parse_names,
    parse_thresholds as parse_thresholds,
    parse_window as parse_window,
    typed_command as typed_command,
)
from .prediction_tables import (
    nothing_read as nothing_read,
    slices_table as slices_table,
    studies_table as studies_table,
    summary as summary,
)
from .settings import settings_options as settings_options
from .training_progress import show_training as show_training
