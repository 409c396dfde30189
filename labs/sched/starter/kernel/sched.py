class Scheduler:
    def _run_next(self) -> None:
        """Run one of `ready`: the thread of the lowest process number, however long others have waited."""
        thread = self.current = min(self.ready, key=lambda thread: thread.process.pid)
        self.ready.remove(thread)
        assert thread.state == RUNNABLE, f"{thread} is in the queue, but not runnable"
        thread.state = RUNNING
        if self._k.hooks.observer is not None:
            self._k.hooks.observer.switch(thread.process)
        self._swtch(self._k.cpu_context, thread.stack.context_pa)
        self.current = None

    def yield_(self, thread: Thread) -> None:
        """Let the others have their turn: this is for you to write."""
