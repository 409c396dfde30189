class Dispatcher:
    def _leave(self, p: Proc, call: Syscall, result: int) -> None:
        if self._k.observer is not None:
            self._k.observer.syscall_exit(p, call, result)
