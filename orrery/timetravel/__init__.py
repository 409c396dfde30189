"""Time travel: a target that goes forward, its input log and checkpoints, and a timeline that goes back."""
