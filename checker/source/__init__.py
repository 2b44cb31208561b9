# SPDX-License-Identifier: MIT
"""The kernel's C as a reading: functions sliced from a patch or a tree, parsed, and executed over the list engine.

No line of the kernel is kept here. What a kernel function means that is assumed and not read stands in `table`; what is
neither read nor assumed is `NotCovered`, with its place. See docs/REVIEW.md.
"""
