# SPDX-License-Identifier: MIT
"""The kernel lab: scenario documents answered by a real kernel.

A scenario is a list of memory-management calls; the lab executes it on the running
kernel or on any bootable x86-64 image (in QEMU, without KVM) and fills in what that
kernel answered.  See :mod:`checker.lab.run` for the entry points.
"""
