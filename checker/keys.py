# SPDX-License-Identifier: MIT
"""Protection keys as the kernel hands them out, over whatever way a reading keeps them."""

from __future__ import annotations

from abc import abstractmethod

from spec.errors import Errno
from spec.space import AddressSpace, Refused
from spec.terms import Bool, Num, and_, eq


class KeySpace(AddressSpace):
    """The verbs that take a key. The first that is free is taken (mm_pkey_alloc)."""

    @property
    @abstractmethod
    def has_pkeys(self) -> Bool:
        """The machine has protection keys."""

    @property
    @abstractmethod
    def exec_key(self) -> Num:
        """The key for execute-only memory; 0 if there is none."""

    @abstractmethod
    def key_is_taken(self, key: int) -> Bool:
        """The program has allocated the key, or it is the one for execute-only memory."""

    @abstractmethod
    def take_key(self, key: int) -> None:
        """The program has allocated the key; the thread may do everything through it."""

    @abstractmethod
    def take_exec_key(self, key: int) -> None:
        """The key is that for execute-only memory; the thread may access nothing through it."""

    def _first_free_key(self) -> int | None:
        return next((key for key in range(1, 16) if not self.decide(self.key_is_taken(key))), None)

    def allocate_pkey(self) -> Num:
        if not self.decide(self.has_pkeys):
            raise Refused(Errno.EINVAL, "pkey_alloc: there is no protection key")
        key = self._first_free_key()
        if key is None:
            raise Refused(Errno.ENOSPC, "pkey_alloc: all protection keys are taken")
        self.take_key(key)
        return key

    def execute_only_pkey(self, wanted: Bool) -> Num:
        if self.decide(and_(wanted, self.has_pkeys, eq(self.exec_key, 0))):
            key = self._first_free_key()
            if key is not None:
                self.take_exec_key(key)
        return self.exec_key
