from .codecs.backend import decompress as decompress
from .codecs.pool import CODECS as CODECS
from .ct_slice import (
    AIR_HU as AIR_HU,
    CTSlice as CTSlice,
    Geometry as Geometry,
    SliceId as SliceId,
    Vector as Vector,
)
from .elements import Elements as Elements, parse as parse
from .files.archives import archive_members as archive_members
from .files.inflate import Seekable as Seekable
from .files.reading import read_file as read_file
from .files.sniffing import packed_kind as packed_kind, sniff as sniff
from .files.sources import (
    Source as Source,
    natural_key as natural_key,
    printable as printable,
    stamp as stamp,
    walk as walk,
)
from .files.tar_archive import holds_tar as holds_tar
from .frame_data import FrameSource as FrameSource, read_frame as read_frame
from .geometry import is_axial as is_axial
from .header import (
    PHANTOM_MANUFACTURER as PHANTOM_MANUFACTURER,
    Frame as Frame,
    read_frames as read_frames,
)
from .hounsfield import HIGHEST_HU as HIGHEST_HU, LOWEST_HU as LOWEST_HU, Rescale as Rescale
from .interpretation import frame_to_hounsfield as frame_to_hounsfield
from .limits import DEFAULT_LIMITS as DEFAULT_LIMITS, Limits as Limits
from .notes import Note as Note
from .pixel_format import PixelFormat as PixelFormat
from .transfer_syntax import decoders as decoders
