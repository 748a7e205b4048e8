from .studies import (
    PhantomConfig as PhantomConfig,
    PhantomStudy as PhantomStudy,
    generate_phantom as generate_phantom,
)
from .write_dicom import write_studies as write_studies
