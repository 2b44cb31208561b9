# SPDX-License-Identifier: MIT
"""What a kernel does and what must hold: pure description, no solver loop, no I/O."""
