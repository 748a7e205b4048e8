from .dicom.write import write_dicom as write_dicom
from .html_report import (
    render_report as render_report,
    write_report as write_report,
    write_worklist as write_worklist,
)
from .study_result import StudyResult as StudyResult, study_results as study_results
