"""A small mixture of experts and its dense twin: trained, written as GGUF, measured. docs/experts.md has the figures."""
