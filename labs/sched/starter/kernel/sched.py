class Scheduler:
    def _run_next(self) -> None:
        """Run a process of `ready`: the one with the lowest number, however long the others have waited."""
        p = self.current = min(self.ready, key=lambda p: p.pid)
        self.ready.remove(p)
        assert p.state == RUNNABLE, f"{p} is in the queue, but not runnable"
        p.state = RUNNING
        if self._k.observer is not None:
            self._k.observer.switch(p)
        self._swtch(self._k.cpu_context, p.context_pa)
        self.current = None

    def yield_(self, p: Proc) -> None:
        """Let the others have their turn: this is for you to write."""
