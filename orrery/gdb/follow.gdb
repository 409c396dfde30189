# For gdb: have it look again when a command of Orrery's monitor has moved the machine (goto, next, last, restart).
#
# `orrery gdb` loads this; others may, by `source`.  gdb keeps the registers that it has read, so it is asked for a
# step, which the server answers with where the machine is, and does not make (orrery/gdb/runner.py).

python
def orrery_follow():
    """Where the server says that the machine was moved, let gdb find out where to."""
    try:
        said = gdb.execute("maintenance packet qOrrery.Moved", to_string=True)
    except gdb.error:  # no connection
        return
    if 'received: "1"' not in said:
        return
    if gdb.selected_thread() is None:  # of a process that had ended; any other will do
        alive = [one for one in gdb.inferiors() if one.threads()]
        if not alive:
            return
        gdb.execute("inferior %d" % alive[0].num, to_string=True)
    gdb.execute("stepi")
end

define hookpost-monitor
    python orrery_follow()
end

python orrery_follow()
