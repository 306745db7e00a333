"""The subcommands of `harness`: a module each, with `add` for its arguments and `main`."""
