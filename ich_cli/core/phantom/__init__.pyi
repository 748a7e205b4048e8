from .studies import (
    PhantomConfig as PhantomConfig,
    PhantomStudy as PhantomStudy,
    generate as generate,
)
from .write_dicom import write_studies as write_studies
