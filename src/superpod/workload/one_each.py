"""Experts spread so far that each rank holds one, the shared expert among them."""

from dataclasses import replace

from superpod.catalog.model_spec import LayerGroup, MixtureOfExperts, ModelSpec


def one_expert_each(spec: ModelSpec, ranks_count: int) -> ModelSpec:
    """Return a model whose shared experts are placed on ranks of their own, so that each of all ranks holds one expert.

    On 320 dies CloudMatrix-Infer has DeepSeek-R1's 256 routed experts, 32 copies of busy ones and the shared one 32
    times (arXiv 2506.12708, section 4.2; `shared_expert_rank_num` of CANN's dispatch and combine). A token then visits
    k + 1 of `ranks_count` places and no rank runs a shared expert of its own; every place has (k + 1) T visits in the
    mean: here 9 T, of which a routed one has 8.9 T and one of the shared expert 10 T.

    A model without shared experts, or with more experts than ranks, stays as it is.
    """
    return replace(spec, layers=tuple(_one_each(group, ranks_count) for group in spec.layers))


def _one_each(group: LayerGroup, ranks_count: int) -> LayerGroup:
    ffn = group.ffn
    if not isinstance(ffn, MixtureOfExperts) or not ffn.shared_width_count:
        return group
    shared = round(ffn.shared_width_count / ffn.width_count)
    if ranks_count < ffn.experts_count + shared:
        return group
    return replace(group, ffn=replace(ffn, experts_count=ranks_count, top_k=ffn.top_k + shared, shared_width_count=0))
