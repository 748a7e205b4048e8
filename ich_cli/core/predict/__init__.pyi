from .journal import Journal as Journal
from .journal_files import rank_of as rank_of
from .merge import Part as Part, all_there as all_there, take_over as take_over
from .predictor import Predictor as Predictor
from .ranks import ALONE as ALONE, Rank as Rank, series_units as series_units
from .reader import Reader as Reader
from .summary import (
    Seam as Seam,
    Tally as Tally,
    find_seam as find_seam,
    keep as keep,
    studies_path as studies_path,
    write_tables as write_tables,
)
from .tables import (
    SLICE_COLUMNS as SLICE_COLUMNS,
    STUDY_COLUMNS as STUDY_COLUMNS,
    Format as Format,
    format_of as format_of,
    open_table as open_table,
    slice_row as slice_row,
    study_row as study_row,
)
