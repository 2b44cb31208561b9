# SPDX-License-Identifier: MIT
"""The JSON documents: layouts, scenarios, runs and counterexamples.

A document is checked as it is read: an unknown key, a missing argument or a number out of range is a BadDocument, one
line with a JSON pointer (RFC 6901) and the reason. Positions are page numbers, except in the arguments of calls, which
are bytes as a program passes them. JSON schemas for other programs are generated from the models (docs/schema).
"""
