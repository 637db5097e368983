"""Commands besides the compiler's own: `cli.py` adds them to the program."""
