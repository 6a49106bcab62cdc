"""The commands beside backtest, one file each; `cli` hangs them under `s2squant`."""
