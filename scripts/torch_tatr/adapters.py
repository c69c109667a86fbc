"""A Rounded as other kernels take it."""


def sonicmoe(rounded):
    """SonicMoE's flat lists for moe_general_routing_inputs: scores, tokens and experts, [rows] each, by rising token; without padding rows, which
    have no token. Scores carry the gradient. round_topk was asked for them with by_token=True."""
    if rounded.token_rows is None:
        raise ValueError("round_topk was not asked for rows by token; expected by_token=True")
    rows = rounded.token_rows if not hasattr(rounded.token_rows, "long") else rounded.token_rows.long()
    return rounded.gate[rows], rounded.token[rows], rounded.expert[rows]


def topk(rounded):
    """topk_ids and topk_weights [T, width], for engines that know top-k alone (vLLM's and SGLang's fused experts): what round_topk was asked for by
    its `width`. Places of tokens that have fewer rows hold -1 and weigh 0; they are for engines that pass over -1, as those do which map the experts
    of other ranks to it."""
    if rounded.topk_ids is None:
        raise ValueError("round_topk was not asked for them; expected its width, a number or 'most'")
    return rounded.topk_ids, rounded.topk_weights
