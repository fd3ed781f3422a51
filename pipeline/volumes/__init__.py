"""Files of volumes (3-D grids) decoded as arrays."""
