"""What is known of the beginnings of requests: their messages as links, lengths and blocks, each conversation's once.

Comes in: a request as it is sent, with its chain. Goes out: its `Known`, from what is known of the one that it goes on from and its new messages. One
organisation never finds another's: each link carries its organisation. Bounded; what was touched longest ago is forgotten. Does not know: what
a provider caches, what is marked.
"""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate

import msgspec

from jevons.core.ask import Ask
from jevons.core.chain import Chain, links_after
from jevons.core.chain import chain as chain_of
from jevons.core.limits import PREFIX_KNOWN_MAX, PREFIX_LINKS_MAX
from jevons.meter.models import ModelFacts
from jevons.meter.tokens import MessageCounter
from jevons.policy.provider_cache import Path
from jevons.wire import markers

TAG_BYTES = 8


class Known(msgspec.Struct, frozen=True):
    """What was found out of a request's messages. The next one of its conversation goes on from it."""

    path: Path
    opening: int
    """How many of them are tools and system."""


NOTHING_KNOWN = Known(Path((), ()), 0)


class Beginnings:
    """Of one gateway."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.counter = MessageCounter()
        """Tokens of messages."""
        self._known: OrderedDict[tuple[bytes, str], Known] = OrderedDict()
        """By the last link of a request, and the tokenizer that it was counted by."""
        self._links = 0
        """Of all that are known."""
        self._tags: dict[str, bytes] = {}

    def of(self, org: str, sent: Ask, chain: Chain, about: ModelFacts, marked: Sequence[int]) -> Known:
        """Of a request: from what is known of the one that it goes on from, and its new messages. A known one is known under its last link only,
        so that a conversation takes the room of one. `marked`: the messages that may carry the client's marks."""
        tag = self._tags.get(org)
        if tag is None:
            tag = self._tags[org] = blake2b(org.encode(), digest_size=TAG_BYTES, key=self._secret, person=b"prefixes").digest()
        links, tokenizer = self._links_of(sent, chain, marked), about.tokenizer
        begun, known = 0, NOTHING_KNOWN
        for place in range(len(links) - 1, -1, -1):
            found = self._known.pop((tag + links[place], tokenizer), None)
            if found is not None:
                begun, known = place + 1, found
                self._links -= begun
                break
        if begun < len(links):
            new = slice(begun, None)
            messages = sent.messages[new]
            lengths = self.counter.ends(messages, about, chain.digests[new])
            blocks, tokens = [markers.blocks_in(message) for message in messages], known.path.tokens
            known = Known(
                Path(
                    known.path.links + tuple([tag + link for link in links[new]]),
                    known.path.ends + tuple([tokens + length for length in lengths]),
                    known.path.blocks + tuple(accumulate(blocks, initial=known.path.blocks[-1] if begun else 0))[1:],
                ),
                known.opening if begun > known.opening else markers.opening(sent),
            )
        self._known[known.path.links[-1], tokenizer] = known
        self._links += len(links)
        while len(self._known) > PREFIX_KNOWN_MAX or self._links > PREFIX_LINKS_MAX:
            _, gone = self._known.popitem(last=False)
            self._links -= len(gone.path.links)
        return known

    def _links_of(self, sent: Ask, chain: Chain, marked: Sequence[int]) -> tuple[bytes, ...]:
        """Of its messages without marks: a client moves them from turn to turn, and the provider's cache does not go by them. Who marks nothing
        writes a message the same way each time."""
        if not marked:
            return chain.links
        bare = [markers.without_marks(message) for message in sent.messages]
        changed = [place for place, message in enumerate(sent.messages) if bare[place] != message]
        digests = list(chain.digests)
        for place, digest in zip(changed, chain_of(self._secret, [bare[place] for place in changed]).digests, strict=True):
            digests[place] = digest
        return links_after(self._secret, digests)
