"""Memory: page tables, frames, what is mapped where, and what of files is in memory."""
