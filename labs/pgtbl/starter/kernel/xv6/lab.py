def sys_kpgtbl(k: "Kernel", p: Process) -> int:
    """Print the process's page table: this is for you to write."""
    raise SyscallError(EINVAL, "not written yet")


def sys_pgaccess(k: "Kernel", p: Process, va: int, n: int, mask_va: int) -> int:
    """Tell which of `n` pages from `va` on were touched since the last call: this is for you to write."""
    raise SyscallError(EINVAL, "not written yet")
