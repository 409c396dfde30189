"""What DWARF says of a program's variables: their types and where they are."""
