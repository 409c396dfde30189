class Dispatcher:
    def _leave(self, thread: Thread, call: Syscall, result: int, error: SyscallError | None) -> None:
        if self._hooks.observer is not None:
            self._hooks.observer.syscall_exit(thread.process, call, result, error)
