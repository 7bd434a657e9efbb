"""The command line tools; installed as `fmrgb_tools`, reached by `fmrgb <tool>`."""
