"""A virtio disk that answers in any order, as the standard allows and ours never does by itself.

Whichever request is due, another of those in work may be done in its place.  For tests of who drives a disk:
each request's answer has to be found by its head, and who needs an order has to wait in between.
"""

from random import Random
from typing import Any

from emu.dev.virtio_blk import Request, VirtioBlk


class UnorderedBlk(VirtioBlk):
    """A disk whose `chance` picks the next request to be done; `overtaken` counts those not in turn."""

    def __init__(self, *args: Any, chance: Random, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._chance = chance
        self.overtaken = 0

    def _complete(self) -> None:
        times = [request.done_ticks for request in self._requests]
        order = list(self._requests)
        order.insert(0, order.pop(self._chance.randrange(len(order))))
        self.overtaken += order[0] is not self._requests[0]
        self._requests.clear()
        self._requests += (Request(r.queue, r.chain, at) for r, at in zip(order, times, strict=True))
        super()._complete()


class LastFirst(Random):
    """Chance that always picks the last."""

    def randrange(self, start: int, *_: Any) -> int:  # type: ignore[override]
        return start - 1
