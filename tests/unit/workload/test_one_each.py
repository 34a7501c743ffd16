"""Experts spread so far that each rank holds one: visits, sizes, and models that it leaves alone."""

from superpod.catalog.load import Catalogue
from superpod.catalog.model_spec import MixtureOfExperts, ModelSpec
from superpod.workload.one_each import one_expert_each


def mixtures(spec: ModelSpec) -> list[MixtureOfExperts]:
    return [group.ffn for group in spec.layers if isinstance(group.ffn, MixtureOfExperts)]


def test_a_token_visits_the_shared_expert_like_the_others() -> None:
    spec = Catalogue().model("deepseek-v3")
    (was,), (made,) = mixtures(spec), mixtures(one_expert_each(spec, 320))
    assert (made.experts_count, made.top_k, made.shared_width_count) == (320, was.top_k + 1, 0)
    assert made.top_k * made.width_count == was.top_k * was.width_count + was.shared_width_count  # the same work


def test_fewer_ranks_than_experts_and_models_without_shared_ones_stay() -> None:
    spec, plain = Catalogue().model("deepseek-v3"), Catalogue().model("qwen3-30b-a3b")
    assert one_expert_each(spec, 256) == spec
    assert one_expert_each(plain, 320) == plain
