"""Write the reports of a study.

One HTML page per study, and DICOM objects for the PACS (Structured Report, Secondary Captures): see
`report.dicom`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
