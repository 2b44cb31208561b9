# SPDX-License-Identifier: MIT
"""How it is shown: the command line, graphs, and machine formats."""
