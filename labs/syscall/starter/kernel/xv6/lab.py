"""The system calls that the course's labs add, but for those about files and mappings.

Called by the dispatcher (a process's `watch` before its calls) and, for alarms, by trap.py at a timer
interrupt in user mode.  What they keep of a process: `watch`, shared by all that fork inherits it to and
replaced as a whole, is None for those that nobody confines, which then pay nothing; `alarm` is the process's
own, and None until its first sigalarm.
"""
