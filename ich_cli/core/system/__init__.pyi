from .atomic import (
    aside as aside,
    bears as bears,
    claimed as claimed,
    is_locked as is_locked,
    lock as lock,
    output_error as output_error,
    replacing as replacing,
    replacing_folder as replacing_folder,
    sweep as sweep,
)
from .checks import (
    finite_numbers as finite_numbers,
    is_number as is_number,
    is_whole as is_whole,
    require as require,
    require_choices as require_choices,
    require_keys as require_keys,
)
from .deadline import ASKING as ASKING
from .distributed import is_main as is_main, leave as leave, meet as meet
from .files import write_csv as write_csv, write_json as write_json
from .hashing import fingerprint as fingerprint, sha256_of as sha256_of, sum_of_sums as sum_of_sums
from .malloc import keep_freed_memory as keep_freed_memory
from .prefetch import Recent as Recent, map_ahead as map_ahead
from .process_pool import worker_processes as worker_processes
from .provenance import git_state as git_state, versions as versions
from .pseudonyms import AnonymousNames as AnonymousNames, Names as Names, as_named as as_named
from .signals import Stop as Stop, Terminated as Terminated, stoppable as stoppable
