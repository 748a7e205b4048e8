from .attributes import read_source as read_source, shows_patient as shows_patient
from .frame_ref import Entry as Entry, FrameRef as FrameRef
from .loading import load as load
from .scanning import (
    glimpse as glimpse,
    neighbours as neighbours,
    read_slices as read_slices,
    scan as scan,
)
