# SPDX-License-Identifier: MIT
"""What the server that workers are forked from imports first: from then on it does not outlive its parent."""

import ctypes
import os
import signal

from checker.processes import PARENT, PR_SET_PDEATHSIG

ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
if os.environ.pop(PARENT, "") != str(os.getppid()):  # it ended before
    os._exit(1)
