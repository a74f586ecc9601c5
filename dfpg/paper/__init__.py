"""What the paper says, as data: tables, published values, claims."""
