"""Where the bill goes next: volume and depth from history, prices from the chronology, paths drawn through one formula."""
