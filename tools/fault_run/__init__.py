"""Does to saved files and running calls what may happen to them."""
