# SPDX-License-Identifier: MIT
"""Sabotage: errors made on purpose, each with the guard that must see it. ``python -m proofs.sabotage`` runs them."""
