"""Machines in processes of their own: pool, fork server, workers, and the channel between them."""
