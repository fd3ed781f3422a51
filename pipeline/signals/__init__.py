"""Files of time series and recordings, read as arrays."""
