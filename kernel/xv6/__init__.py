"""The calls of xv6 and of its course's labs."""
