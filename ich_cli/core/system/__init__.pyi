from .atomic import (
    exclusive_lock as exclusive_lock,
    make_folder as make_folder,
    output_error as output_error,
    remove_stale as remove_stale,
    replacing as replacing,
    replacing_folder as replacing_folder,
    temporary_sibling as temporary_sibling,
)
from .checks import (
    finite_numbers as finite_numbers,
    is_number as is_number,
    is_whole as is_whole,
    require as require,
    require_choices as require_choices,
    require_intervals as require_intervals,
    require_keys as require_keys,
    setting as setting,
)
from .deadline import run_with_deadline as run_with_deadline
from .distributed import barrier as barrier, destroy_group as destroy_group, is_main as is_main
from .files import write_csv as write_csv, write_json as write_json
from .hashing import fingerprint as fingerprint, sha256_of as sha256_of, sum_of_sums as sum_of_sums
from .identifiers import (
    as_uid as as_uid,
    derived_uid as derived_uid,
    identifier as identifier,
    keyed_hash as keyed_hash,
)
from .malloc import keep_freed_memory as keep_freed_memory
from .prefetching import prefetch as prefetch
from .process_pool import worker_processes as worker_processes
from .provenance import git_state as git_state, versions as versions
from .pseudonyms import AnonymousNames as AnonymousNames, Names as Names, as_named as as_named
from .signals import Stop as Stop, Terminated as Terminated, stoppable as stoppable
