from .head import (
    Box as Box,
    Mask as Mask,
    body_part as body_part,
    filled as filled,
    head_box as head_box,
    head_mask as head_mask,
    largest_part as largest_part,
)
from .inpainting import inpaint_lesions as inpaint_lesions, replace_region as replace_region
from .overlays import (
    LEVELS as LEVELS,
    OPACITY as OPACITY,
    STYLES as STYLES,
    EdgeLetters as EdgeLetters,
    Style as Style,
    blend as blend,
    colours as colours,
    edge_letters as edge_letters,
    line_colour as line_colour,
    opacity_of as opacity_of,
    overlay as overlay,
    picture as picture,
)
from .windowing import to_uint8 as to_uint8
from .windows import (
    BONE as BONE,
    BRAIN as BRAIN,
    DISPLAY_WINDOWS as DISPLAY_WINDOWS,
    SUBDURAL as SUBDURAL,
    Window as Window,
)
