"""The person's side of a run: terminal, script, prompt, signals, and how a command ends."""
