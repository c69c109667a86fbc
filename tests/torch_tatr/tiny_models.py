"""Models of Hugging Face's transformers with random weights, small enough for a test: hidden 32, two layers."""

COMMON = dict(vocab_size=256, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
              bos_token_id=1, eos_token_id=2, pad_token_id=0)
LATENT = dict(COMMON, num_key_value_heads=4, q_lora_rank=None, kv_lora_rank=8, qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=8, head_dim=8,
              n_routed_experts=16, num_experts_per_tok=4, n_shared_experts=1, moe_intermediate_size=16, intermediate_size=32, first_k_dense_replace=0)

# Name: class of the config, its keys, what the router is to be read as.
MODELS = {
    "mixtral": ("MixtralConfig", dict(COMMON, intermediate_size=16, num_local_experts=8, num_experts_per_tok=2),
                dict(scoring="softmax", normalise=True)),
    "qwen2_moe": ("Qwen2MoeConfig", dict(COMMON, intermediate_size=32, moe_intermediate_size=16, shared_expert_intermediate_size=16, num_experts=8,
                                         num_experts_per_tok=3, norm_topk_prob=False), dict(scoring="softmax", normalise=False)),
    "qwen3_moe": ("Qwen3MoeConfig", dict(COMMON, head_dim=8, intermediate_size=32, moe_intermediate_size=16, num_experts=16, num_experts_per_tok=4,
                                         norm_topk_prob=True), dict(scoring="softmax", normalise=True)),
    "olmoe": ("OlmoeConfig", dict(COMMON, intermediate_size=16, num_experts=16, num_experts_per_tok=4, norm_topk_prob=False),
              dict(scoring="softmax", normalise=False)),
    "deepseek_v2": ("DeepseekV2Config", dict(LATENT, topk_method="group_limited_greedy", n_group=4, topk_group=2, routed_scaling_factor=16.0),
                    dict(scoring="softmax", normalise=False, scale=16.0, groups={"count": 4, "top": 2, "group_score": "max"})),
    "deepseek_v2_lite": ("DeepseekV2Config", dict(LATENT, topk_method="greedy", n_group=1, topk_group=1, routed_scaling_factor=1.0),
                         dict(scoring="softmax", normalise=False)),
    "deepseek_v3": ("DeepseekV3Config", dict(LATENT, q_lora_rank=16, n_group=4, topk_group=2, norm_topk_prob=True, routed_scaling_factor=2.5),
                    dict(scoring="sigmoid", normalise=True, scale=2.5, groups={"count": 4, "top": 2, "group_score": "top2_sum"}, bias=True)),
    "gpt_oss": ("GptOssConfig", dict(COMMON, head_dim=8, intermediate_size=16, num_local_experts=8, num_experts_per_tok=2, sliding_window=16),
                dict(scoring="softmax", normalise=True)),
    "granitemoe": ("GraniteMoeConfig", dict(COMMON, intermediate_size=16, num_local_experts=8, num_experts_per_tok=2),
                   dict(scoring="softmax", normalise=True)),
}


def make(name, folder, dtype="float32", seed=0, learn=None):
    """Saves a model of this architecture into the folder; routers are made to choose clearly. Its tokenizer: bytes.

    With `learn`, bytes, it is trained on them for a moment, so that to lose experts harms it."""
    import torch
    import transformers
    config_class, keys, _ = MODELS[name]
    torch.manual_seed(seed)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    config = getattr(transformers, config_class)(**keys)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    with torch.no_grad():
        for part_name, part in model.named_modules():
            weight = getattr(part, "weight", None)
            if part_name.endswith(("gate", "router")) and weight is not None and weight.dim() == 2:
                weight.normal_(0, 0.3)
                if getattr(part, "bias", None) is not None:
                    part.bias.normal_(0, 0.5)
                if hasattr(part, "e_score_correction_bias"):
                    part.e_score_correction_bias.copy_(torch.randn(part.num_experts) * 0.05)
    if learn:
        train(torch, model, learn)
    model.save_pretrained(folder)
    return model.eval()


def train(torch, model, data, steps=120):
    data = torch.tensor(list(data))
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(steps):
        first = torch.randint(len(data) - 64, (16, 1))
        ids = data[first + torch.arange(64)]
        loss = torch.nn.functional.cross_entropy(model(input_ids=ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
