"""Beam search on the real demo pair against Hugging Face's generate."""

import json

import pytest
import torch

from core.demo.pair import DEMO_FOLDER, demo_plan
from core.engine.protocol import PairSpec
from core.models.load import load_pair
from core.search.grown import GrownTree
from core.search.run import Run
from core.search.spec import SearchSpec
from core.search.strategies.beam import Beam
from core.text import Prompt

pytestmark = pytest.mark.demo


def test_it_equals_generate_and_both_sides_of_the_equivalence_agree():
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    def ignore(what, fraction):
        pass

    pair, _ = load_pair(PairSpec(demo=True, device="cpu", dtype="float32"), ignore)
    story = json.loads((DEMO_FOLDER / "examples.json").read_text(encoding="utf-8"))[0]
    prompt = Prompt.of(story["prompt"], story.get("system"))
    spec = SearchSpec(Beam(4), max_tokens=16)
    run, tree = Run(pair, prompt, (), spec), GrownTree()
    while (growth := run.step()) is not None:
        tree.add(growth)
    plan = demo_plan(ignore)
    base = AutoModelForCausalLM.from_pretrained(plan.base, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(plan.policy_adapter)).eval()
    ids = torch.tensor([pair.codec.prompt_ids(prompt)])
    expected = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        num_beams=4,
        num_return_sequences=4,
        early_stopping="never",
        length_penalty=0.0,
        max_new_tokens=16,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
    )
    found = tree.hypotheses(spec)
    end = pair.codec.end_of_turn
    for rank, sequence in enumerate(expected.sequences[:, ids.shape[1] :].tolist()):
        if end in sequence:
            sequence = sequence[: sequence.index(end) + 1]
        assert found[rank].ids == tuple(sequence)
        score = float(expected.sequences_scores[rank])
        assert found[rank].score == pytest.approx(score, abs=1e-3)
        assert found[rank].reward_side == pytest.approx(found[rank].likelihood_side, abs=1e-3)
