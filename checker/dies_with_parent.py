"""What the server that workers are forked from imports first: from then on it does not outlive its parent."""

import ctypes
import signal

from checker.processes import PR_SET_PDEATHSIG

ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
