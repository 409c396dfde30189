"""Declarations shared by the kernel, the toolchain and the workbench.

Numbers, layouts and names only: nothing here runs, and nothing here imports another package of
the project.  One declaration serves the kernel that reads a structure, the image maker that
writes it and the C header that is generated from it.
"""
