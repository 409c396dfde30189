"""Going back in time: recordings, checkpoints, and runs that are made again."""
