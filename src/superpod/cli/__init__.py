"""The command line: one file per verb; answers become a neutral page, which text and HTML renderers draw."""
