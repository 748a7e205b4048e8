"""Write the reports of a study.

One HTML page a study, and DICOM objects (structured report, secondary captures) that a PACS
accepts: see `report.dicom`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
