from .collect import Publication as Publication, Upload as Upload, collect_files as collect_files
from .space import push_space as push_space, space_files as space_files
from .upload import PushResult as PushResult, push as push
