from .attributes import read_source as read_source, shows_patient as shows_patient
from .loading import load as load
from .reading import read as read
from .scanning import glimpse as glimpse, read_slices as read_slices, scan as scan
from .types import Refused as Refused, Scan as Scan, Series as Series, SliceRef as SliceRef
