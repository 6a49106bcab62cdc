"""The classical experiments of the seq2seq literature, and the zoo: what `s2squant reproduce` runs."""
