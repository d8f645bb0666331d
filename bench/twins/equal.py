"""Does llama.cpp compute from the file what torch computes from the weights? `python -m bench.twins.equal`, after make train-twins.

Comes in: the folder of the training. Goes out: for both twins and each precision, whether tokens are the same, and how far log-probabilities and
routers' choices lie apart on held-out text. Does not know: how good they are.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from bench.twins import text, tokens
from bench.twins.net import TWINS, Twin
from bench.twins.write import KINDS
from jevons.engine.native.context import Context
from jevons.engine.native.library import open_library
from jevons.engine.native.model import Model

PAGES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("bench/out/twins"))
    asked = parser.parse_args()
    pages = text.held_out(asked.work)
    tokenizer, library = tokens.read(asked.work / "tokenizer.json"), open_library()
    lines = [line for page in pages for line in (page.en + "\n" + page.es).splitlines()]
    with Model(library, asked.work / "moe-f32.gguf", vocabulary_only=True) as model:
        same = sum(model.tokens(line).tolist() == [tokens.END_ID, *tokenizer.encode(line).ids] for line in lines)
    print(f"tokens: {same} of {len(lines)} held-out paragraphs are cut alike")
    for name, shape in TWINS.items():
        twin = Twin(shape)
        twin.load_state_dict(torch.load(asked.work / f"{name}.pt", weights_only=True)["twin"])
        for kind in KINDS:
            apart, worst = [], 0.0
            with (
                Model(library, asked.work / f"{name}-{kind}.gguf") as model,
                Context(model, shape.context, batch_tokens=shape.context, type_k="f32", type_v="f32") as context,
            ):
                for page in pages[:PAGES]:
                    ids = model.tokens(page.es)[: shape.context]
                    theirs = torch.from_numpy(context.decode(ids, logits="all", position=0)).log_softmax(-1)
                    with torch.no_grad():
                        ours = twin(torch.from_numpy(ids.astype(np.int64))[None])[0][0].log_softmax(-1)
                    worst = max(worst, float((ours - theirs).abs().max()))
                    apart.append(float((ours.exp() * (ours - theirs)).sum(-1).mean()))
            print(
                f"{name:6}{kind:6} largest difference of a log-probability {worst:.2g}; mean KLD {np.mean(apart):.2g} nats",
                flush=True,
            )


if __name__ == "__main__":
    main()
