"""The debugger: machines that are looked at, stopped, stepped and taken back in time."""
