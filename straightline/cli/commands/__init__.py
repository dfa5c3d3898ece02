"""The commands, one module each: `register(commands)` adds the parser, `run` does the work."""
