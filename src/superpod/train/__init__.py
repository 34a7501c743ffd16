"""One optimizer step: the pipeline's passes, what they wait for, and the update at its end."""
