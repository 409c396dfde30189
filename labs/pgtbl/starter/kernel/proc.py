class ProcTable:
    def allocproc(self, personality: Personality) -> Process:
        """A new process with a thread in state USED and an empty address space; fails at a limit."""
        vm = self._memory.vm
        if None not in self.slots:
            raise SyscallError(EAGAIN, f"there are {NPROC} processes")
        p = Process(self._next_pid, personality)
        self._make_thread(p)
        try:
            p.space = AddressSpace(vm.create_user(p.thread.trapframe_pa, self._image.trampoline))
        except OutOfMemory:
            self._free_pages(p)
            raise
        self.slots[self.slots.index(None)] = p
        self._next_pid += 1
        return p
