"""What is weak on purpose is no test: `test_harness_prove` looks at it."""

collect_ignore_glob = ["*.yaml"]
