"""Who carries jobs out: processes of this machine, Dask, or Ray."""
