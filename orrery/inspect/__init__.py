"""Looking at a machine that stands still: debug information, stacks, reports, audits. It changes nothing."""
