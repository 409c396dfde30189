"""The source-level debugger of `orrery debug`."""
