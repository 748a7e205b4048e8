"""Decode compressed frames in child processes, so that a crash or a hang costs one frame only.

Native codecs may crash, hang or take all memory on hostile bytes, and no thread can be ended: a
process can, and the system holds it to bounds on time and memory.
"""
