"""The checkers of docs/style.md that are scripts. Each module has `RULE`, its name, and `check(tree)`, which yields Findings."""
