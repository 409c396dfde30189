class Trap:
    def _interrupt(self, scause: int, thread: Thread | None) -> None:
        """Serve a device, or the timer."""
        k = self._k
        if scause == EXTERNAL:
            k.devintr()
        elif scause == TIMER:
            turn_ends = k.timer.intr()
            if thread is not None and turn_ends:
                thread.process.traits.on_tick(thread)
        else:
            k.panic(f"unexpected interrupt, scause {scause:#x}")
