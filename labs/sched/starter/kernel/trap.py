class Trap:
    def _interrupt(self, scause: int, p: Proc | None) -> None:
        """Serve a device, or the timer."""
        k = self._k
        if scause == EXTERNAL:
            k.devintr()
        elif scause == TIMER:
            k.timer.intr()
            if p is not None and p.alarm is not None:
                p.alarm.tick(p)
        else:
            k.panic(f"unexpected interrupt, scause {scause:#x}")
