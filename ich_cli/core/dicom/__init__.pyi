from .available import decoders as decoders
from .codecs.backend import decompress as decompress
from .codecs.pool import CODECS as CODECS
from .ct_slice import (
    AIR_HU as AIR_HU,
    CTSlice as CTSlice,
    Geometry as Geometry,
    SliceId as SliceId,
    Vector as Vector,
)
from .decode import decode_frame as decode_frame
from .deflated import Inflating as Inflating, Seekable as Seekable, inflate as inflate
from .elements import Bounded as Bounded, Elements as Elements, parse as parse, quiet as quiet
from .encapsulated import frame_at as frame_at, frame_starts as frame_starts, one_frame as one_frame
from .files import (
    Source as Source,
    natural as natural,
    printable as printable,
    stamp as stamp,
    walk as walk,
)
from .header import Frame as Frame, read_frames as read_frames
from .hounsfield import Rescale as Rescale, to_hounsfield as to_hounsfield
from .limits import DEFAULT_LIMITS as DEFAULT_LIMITS, Limits as Limits
from .notes import Note as Note
from .pixel_format import PixelFormat as PixelFormat
from .sniffing import sniff as sniff
from .transfer_syntax import DEFLATED as DEFLATED
from .zip_archive import members as members, opened as opened
