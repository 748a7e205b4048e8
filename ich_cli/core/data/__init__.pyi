from .annotated import (
    MaskedData as MaskedData,
    MaskedSlice as MaskedSlice,
    open_masked as open_masked,
)
from .label_table import (
    ABSENT as ABSENT,
    KEY_COLUMNS as KEY_COLUMNS,
    LabelRow as LabelRow,
    find_labels as find_labels,
    names_of as names_of,
    read_labels as read_labels,
    slice_key as slice_key,
    to_label as to_label,
    with_any as with_any,
)
from .lesion_masks import UNKNOWN as UNKNOWN, Mask as Mask
from .oof_table import (
    Floats as Floats,
    SlicesOfPatients as SlicesOfPatients,
    read_out_of_fold as read_out_of_fold,
)
from .prepare import prepare_dataset as prepare_dataset, start_early as start_early
from .prepared import PreparedDataset as PreparedDataset, count_labels as count_labels
from .sources.registry import open_source as open_source
from .splits import fold_by_patient as fold_by_patient
