from .annotated import (
    MaskedData as MaskedData,
    MaskedSlice as MaskedSlice,
    open_masked as open_masked,
)
from .fingerprints import (
    public_data_set as public_data_set,
    public_sets_in as public_sets_in,
    public_source as public_source,
)
from .label_table import (
    ABSENT as ABSENT,
    KEY_COLUMNS as KEY_COLUMNS,
    LabelRow as LabelRow,
    candidate_names as candidate_names,
    find_labels as find_labels,
    listed as listed,
    read_labels as read_labels,
    slice_key as slice_key,
    to_label as to_label,
    with_any as with_any,
)
from .lesion_masks import NO_SUBTYPE as NO_SUBTYPE, UNKNOWN as UNKNOWN, Mask as Mask
from .out_of_fold_table import (
    Floats as Floats,
    OutOfFoldTable as OutOfFoldTable,
    read_out_of_fold as read_out_of_fold,
)
from .overlap import Overlap as Overlap, find_overlap as find_overlap
from .prepare import prepare_dataset as prepare_dataset
from .prepare_series import preload_imports as preload_imports
from .prepared import PreparedDataset as PreparedDataset, count_labels as count_labels
from .sources.registry import open_source as open_source
from .splits import fold_by_patient as fold_by_patient
