class VirtualMemory:
    def create_user(self, trapframe_pa: int, trampoline_pa: int, usyscall_pa: int = 0) -> int:
        """The root of a table with what the kernel maps for a process, and no user memory.

        Raises OutOfMemory.
        """
        root = self.create()
        try:
            index = self.walk(PageTable(root), TRAMPOLINE, own=True)
        except OutOfMemory:
            self._free_tables(root)
            raise
        # Below the trampoline's entry is that of the trapframe.
        self._u64[index] = trampoline_pa >> PA_FROM_PTE_SHIFT | PTE_R | PTE_X | PTE_A | PTE_V
        self._u64[index - 1] = trapframe_pa >> PA_FROM_PTE_SHIFT | PTE_R | PTE_W | PTE_A | PTE_D | PTE_V
        return root
