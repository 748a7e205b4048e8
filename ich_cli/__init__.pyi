from ._version import __version__ as __version__
from .core.bundle import (
    BundleConfig as BundleConfig,
    LoadedBundle as LoadedBundle,
    load_bundle as load_bundle,
    resolve_weights as resolve_weights,
)
from .core.dicom import CTSlice as CTSlice, Geometry as Geometry, SliceId as SliceId
from .core.errors import (
    BrokenFileError as BrokenFileError,
    BundleError as BundleError,
    DataError as DataError,
    DecoderError as DecoderError,
    HubError as HubError,
    IchError as IchError,
    InputError as InputError,
    LimitError as LimitError,
    NotApplicableError as NotApplicableError,
    NothingFoundError as NothingFoundError,
    OutputError as OutputError,
    UsageError as UsageError,
)
from .core.explain import explain as explain, faithfulness as faithfulness
from .core.imaging import overlay as overlay
from .core.labels import LABELS as LABELS, SUBTYPES as SUBTYPES
from .core.phantom import PhantomConfig as PhantomConfig, generate_phantom as generate_phantom
from .core.pictures import PictureWindow as PictureWindow
from .core.predict import Predictor as Predictor
from .core.report import (
    study_results as study_results,
    write_dicom as write_dicom,
    write_report as write_report,
)
from .core.series import (
    Scan as Scan,
    Series as Series,
    load as load,
    read as read,
    read_slices as read_slices,
    scan as scan,
)
from .core.study import (
    SeriesPrediction as SeriesPrediction,
    SlicePrediction as SlicePrediction,
    StudyPrediction as StudyPrediction,
)
