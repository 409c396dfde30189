def sys_mmap(
    k: "Kernel", p: Process, addr: int, length: int, prot: int, flags: int, fd: int, offset: int
) -> int:
    """Map `length` bytes of a file from `offset` on, or of zeroes, into memory. For you to write."""
    raise SyscallError(EINVAL, "not written yet")


def sys_munmap(k: "Kernel", p: Process, addr: int, length: int) -> int:
    """End the mappings, or parts of them, in a range of addresses. For you to write."""
    raise SyscallError(EINVAL, "not written yet")
