"""Looking inside a network: what its layers respond to, and what its answers rest on."""
