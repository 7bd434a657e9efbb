"""The command line tools; installed as `fmrgb_tools`, reached by `fmrgb <tool>`."""

from fmrgb_tools.stopping import listen_early

listen_early()  # before the slow imports, which Ctrl-C may interrupt as well
