# SPDX-License-Identifier: MIT
"""What a user may rely on: promises in a user's words, and recipes, each tied to theorems and to calls that tests make.

Nothing is solved here: verdicts are the expected ones (proofs/theorems.py), which `sealspec prove` decides.
"""
