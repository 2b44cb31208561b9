# SPDX-License-Identifier: MIT
"""The engine, which knows no theorem: the three readings, solving, minimising, real kernels."""
