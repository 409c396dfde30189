class ProcTable:
    def allocproc(self) -> Proc:
        """A new process in state USED, with a trapframe and an empty address space; fails at a limit."""
        k = self._k
        p = next((p for p in self.slots if p.state == UNUSED), None)
        if p is None:
            raise SyscallError(EAGAIN, f"there are {NPROC} processes")
        try:
            p.trapframe_pa = k.vm.create()
            p.space = AddressSpace(k.vm.create_user(p.trapframe_pa, k.image.trampoline))
        except OutOfMemory:
            self._free_pages(p)
            raise
        p.state = USED
        p.pid = self._next_pid
        self._next_pid += 1
        offset = p.trapframe_pa - k.ram.base >> 3
        p.tf = k.ram.u64[offset : offset + TF_WORDS]
        p.tf[TF_KERNEL_SATP] = k.satp
        p.tf[TF_KERNEL_SP] = p.kstack_va + PGSIZE
        p.tf[TF_KERNEL_TRAP] = k.image.usertrap
        p.context[:] = memoryview(bytes(8 * CONTEXT_WORDS)).cast("Q")
        p.context[CONTEXT_RA] = k.image.forkret
        p.context[CONTEXT_SP] = p.kstack_va + PGSIZE
        return p
