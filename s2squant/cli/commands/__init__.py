"""The commands, one file each; `cli` hangs them under `s2squant`."""
