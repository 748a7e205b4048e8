from .maps import explain as explain, explain_batch as explain_batch, methods_of as methods_of
from .nifti_maps import (
    map_stems as map_stems,
    volume_grid as volume_grid,
    write_nifti_maps as write_nifti_maps,
)
from .perturbation import Faithfulness as Faithfulness, Probe as Probe, faithfulness as faithfulness
from .series import (
    Explained as Explained,
    ExplainedSeries as ExplainedSeries,
    ExplainOptions as ExplainOptions,
    RenderOptions as RenderOptions,
    by_urgency as by_urgency,
    explain_series as explain_series,
    explain_slice as explain_slice,
    top_slices as top_slices,
)
