"""Load images from their source, check them and split them."""
