"""The operator's pages: *Now*, what is being spent, by whom, and the brakes; *Bill*, what was spent and why it changed, down to the rows."""
