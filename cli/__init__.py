"""The `tfdrift` command: one thin click module a command group; installed as `tfdrift_cli`."""
