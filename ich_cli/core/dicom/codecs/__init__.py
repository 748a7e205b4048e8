"""Decode compressed frames in child processes, so that a crash or hang fails one frame only.

Native codecs may crash, hang or exhaust memory on hostile bytes. A thread cannot be killed, but a
process can, and the system enforces its limits on time and memory.
"""
