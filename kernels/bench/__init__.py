"""How long prefill, decoding and training take, beside other attention and the device's roofline.

Numbers only: `python -m kernels FOLDER` writes them to files where only torch and triton are
installed.  All methods of a case are timed turn by turn, so that whatever else the machine does
affects them alike.
"""

from .case import Case, What
from .device import Roofline, device_name, measure_roofline, threads, versions
from .foresight import Foresight, halved
from .meters import peak_bytes, seconds_taken
from .methods import METHODS, UnavailableError
from .timing import Timing, measure

__all__ = [
    "METHODS",
    "Case",
    "Foresight",
    "Roofline",
    "Timing",
    "UnavailableError",
    "What",
    "device_name",
    "halved",
    "measure",
    "measure_roofline",
    "peak_bytes",
    "seconds_taken",
    "threads",
    "versions",
]
