"""What can go wrong, as classes a caller can tell apart.

Every message says what was expected, what came, in which file, and what to do.
"""


class FmrgbError(Exception):
    """Any fault that the person at the keyboard can act on."""


class InputError(FmrgbError):
    """What was asked for cannot be done: no such folder, nothing in it, no room."""


class MediaError(FmrgbError):
    """A media file cannot be read, or not to its end."""


class NoPictureError(MediaError):
    """A media file holds no moving picture; it may hold sound."""


class LimitError(FmrgbError):
    """A clip takes longer, or more memory, than one clip may."""


class SampleError(FmrgbError):
    """A `.pt` file is not a sound sample, or arrays do not fit together."""


class ManifestError(FmrgbError):
    """A CSV does not hold what its contract promises."""


class TrainingError(FmrgbError):
    """Data, options or checkpoint cannot be trained on or used."""


class DiskFullError(FmrgbError):
    """Nothing more can be written; what is written so far is whole."""


class ClusterError(FmrgbError):
    """A cluster cannot be joined, or is lost in the midst of the work."""


class ProgramMissingError(FmrgbError):
    """A program or package that this job needs is not installed."""
