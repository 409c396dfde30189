class Trap:
    def _interrupt(self, scause: int, thread: Thread | None) -> None:
        """Serve a device, or the timer."""
        if scause == EXTERNAL:
            self._devices.intr()
        elif scause == TIMER:
            turn_ends = self._timer.intr()
            if thread is not None and turn_ends:
                thread.process.traits.on_tick(thread)
        else:
            panic(f"unexpected interrupt, scause {scause:#x}")
