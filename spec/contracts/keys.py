# SPDX-License-Identifier: MIT
"""Contracts about protection keys."""

from __future__ import annotations

from spec.contracts.base import Contract
from spec.errors import Errno
from spec.space import Refused
from spec.terms import Bool, Num, all_, and_, any_, between, eq, implies, lt, ne, not_, or_


class Keys(Contract):
    """The verbs that change the keys of the process, and the rights of the thread."""

    def allocate_pkey(self) -> Num:
        if self._free("no_pkey"):
            self.assume(self.no_keys)
            raise Refused(Errno.EINVAL, "pkey_alloc: there is no protection key")
        if self._free("taken_pkeys"):
            # where there are no keys, the second call is told so
            taken = all_(or_(self.pkey_allocated(key), eq(key, self._exec_key)) for key in range(1, 16))
            self.assume(or_(self.no_keys, taken))
            raise Refused(Errno.ENOSPC, "pkey_alloc: all protection keys are taken")
        self.assume(not_(self.no_keys))
        key = self._number("pkey")
        self.assume(and_(between(1, key, 16), not_(self.pkey_allocated(key)), ne(key, self._exec_key)))
        old_write, old_access, allocated = self._write_denied, self._access_denied, self._pkey_allocated
        self._pkey_allocated = lambda k: or_(eq(k, key), allocated(k))
        self._write_denied = lambda k: and_(ne(k, key), old_write(k))
        self._access_denied = lambda k: and_(ne(k, key), old_access(k))
        return key

    def set_write_denied(self, access: tuple[Bool, ...], write: tuple[Bool, ...]) -> None:
        keys = not_(self.no_keys)
        self._write_denied = lambda key: and_(keys, any_(and_(eq(key, i), is_so) for i, is_so in enumerate(write)))
        self._access_denied = lambda key: and_(keys, any_(and_(eq(key, i), is_so) for i, is_so in enumerate(access)))

    def execute_only_pkey(self, wanted: Bool) -> Num:
        had = self._exec_key
        key = self._exec_key = self._number("exec_key")
        allocated = and_(eq(had, 0), lt(0, key))
        free = and_(between(1, key, 16), not_(self.pkey_allocated(key)), not_(self.no_keys))
        self.assume(or_(eq(key, had), and_(wanted, allocated, free)))
        taken = all_(self.pkey_allocated(other) for other in range(1, 16))
        self.assume(implies(and_(wanted, eq(key, 0)), or_(self.no_keys, taken)))
        old_write, old_access = self._write_denied, self._access_denied
        self._write_denied = lambda k: or_(and_(allocated, eq(k, key)), old_write(k))
        self._access_denied = lambda k: or_(and_(allocated, eq(k, key)), old_access(k))
        return key
