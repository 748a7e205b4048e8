from .parts import Parts as Parts, parts_folder as parts_folder
from .predictor import Predictor as Predictor
from .reader import SliceReader as SliceReader
from .summary import Tally as Tally, studies_path as studies_path, write_tables as write_tables
from .tables import (
    SLICE_COLUMNS as SLICE_COLUMNS,
    STUDY_COLUMNS as STUDY_COLUMNS,
    Format as Format,
    format_of as format_of,
    open_table as open_table,
    slice_row as slice_row,
    study_row as study_row,
)
