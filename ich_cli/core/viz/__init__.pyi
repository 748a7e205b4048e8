from .canvas import (
    DARK as DARK,
    LIGHT as LIGHT,
    Theme as Theme,
    add_axes as add_axes,
    new_figure as new_figure,
    write_figure as write_figure,
    write_text as write_text,
)
from .html import render_html as render_html
from .method_names import METHOD_NAMES as METHOD_NAMES
from .series_sheet import (
    ContactSheet as ContactSheet,
    Thumbnail as Thumbnail,
    draw_sheet as draw_sheet,
    spread as spread,
    thumbnail as thumbnail,
)
from .slice_panel import Panel as Panel, draw_panel as draw_panel
from .training_curves import draw_curves as draw_curves
