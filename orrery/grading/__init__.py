"""Grading: the tests of a class, submissions, lab kits, and what Gradescope is told."""
