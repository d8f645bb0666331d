"""Answer stores, and what the operator says of caching. `policy` decides, this room keeps."""
