"""Every quantisation of the packaged model, measured on the packaged sample of traffic."""
