from .collect import Publication as Publication, Upload as Upload, gather as gather
from .space import push_space as push_space, space_files as space_files
from .upload import Pushed as Pushed, push as push
