"""What a run leaves: schema, files, place, provenance, writing, reading. Known by others, it knows none of them."""
