"""The processes of one training leave together: none waits for one that has refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import PartialState
from accelerate.utils import reduce

from dfpg.core.errors import UserError


@contextmanager
def agree_on_refusal(world: PartialState) -> Iterator[None]:
    """A refusal inside, in any of the processes, is a refusal in all of them.

    Every process enters, and waits at the end for the others. Whoever left at once would tear down
    the connections that the others still use, and they would end in a traceback. What is inside
    must not wait for the others itself.

    Raises:
        UserError: this process's own, or one that points to another process's message.
    """
    refusal = None
    try:
        yield
    except UserError as error:
        refusal = error
    refused = reduce(torch.tensor(int(refusal is not None), device=world.device), "sum")
    if refusal is not None:
        raise refusal
    if refused.item():
        raise UserError("another process of this training refused: see its message")
