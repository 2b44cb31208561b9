# SPDX-License-Identifier: MIT
"""What is proved with the engine: the theorems and their expected verdicts, the induction lemmas, the mutants."""
