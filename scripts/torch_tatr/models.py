"""A causal language model and its tokenizer, from a local folder of Hugging Face transformers; nothing is fetched."""

import contextlib
import os
import pathlib
import platform

from .problems import Problem, needed


def add_options(parser):
    parser.add_argument("model", metavar="MODEL_FOLDER", help="a local folder of Hugging Face transformers: config.json, weights, tokenizer")
    parser.add_argument("--random", action="store_true", help="random weights: of the folder only config.json (and the tokenizer) is read")
    parser.add_argument("--tokenizer", default="auto", metavar="auto|bytes|FOLDER", help="bytes: a token is a byte; auto: the model folder's")
    parser.add_argument("--device", default="auto", help="cuda, cuda:1, cpu; auto: a GPU where there is one")
    parser.add_argument("--dtype", default="auto", choices=["auto", "bfloat16", "float16", "float32"], help="of the weights; auto: as stored")
    parser.add_argument("--length", type=positive, default=512, metavar="TOKENS", help="tokens of a sequence at most (512)")
    parser.add_argument("--seed", type=int, default=1, help="of random weights and of strategies that draw (1)")


def positive(text):
    value = int(text)
    if value < 1:
        raise ValueError
    return value


positive.__name__ = "positive integer"  # argparse names it in its error


def device_of(name):
    torch = needed("torch", "a model")
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise Problem(f"--device {name}: {str(error).splitlines()[0]}", 3) from None
    return device


def machine(torch, device):
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return f"{name}, torch {torch.__version__}"


def load(arguments):
    """The model, ready to evaluate, and a function from text to a list of tokens."""
    torch = needed("torch", "a model")
    device = device_of(arguments.device)
    folder = pathlib.Path(arguments.model)
    if not (folder / "config.json").is_file():
        raise Problem(f"{folder}: no config.json in it; allowed: a folder of a model of Hugging Face transformers")
    transformers = needed("transformers", "a model of Hugging Face")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    dtype = "auto" if arguments.dtype == "auto" else getattr(torch, arguments.dtype)
    try:
        if arguments.random:
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            torch.manual_seed(arguments.seed)
            stored = getattr(config, "dtype", None) or torch.float32
            model = transformers.AutoModelForCausalLM.from_config(config, dtype=stored if dtype == "auto" else dtype)
        else:
            model = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=dtype)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise Problem(f"{folder}: transformers {transformers.__version__} cannot load it: {str(error).strip().splitlines()[0]}") from None
    return model.to(device).eval(), encoder(transformers, arguments, folder, model.config)


def encoder(transformers, arguments, folder, config):
    vocabulary = config.get_text_config().vocab_size
    if arguments.tokenizer == "bytes":
        if vocabulary < 256:
            raise Problem(f"--tokenizer bytes: the model knows {vocabulary} tokens; needed: 256")
        return lambda text: list(text.encode())
    where = folder if arguments.tokenizer == "auto" else pathlib.Path(arguments.tokenizer)
    if not any((where / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")):
        raise Problem(f"{where}: no tokenizer in it; --tokenizer FOLDER says where one is, --tokenizer bytes makes each byte a token")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(where, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise Problem(f"{where}: transformers cannot load its tokenizer: {str(error).strip().splitlines()[0]}") from None

    def encode(text):
        tokens = tokenizer(text, verbose=False)["input_ids"]
        if tokens and max(tokens) >= vocabulary:
            raise Problem(f"{where}: a token {max(tokens)}, but the model knows {vocabulary}: the tokenizer is another model's")
        return tokens
    return encode


def padded(torch, batch, device):
    """Pieces as ids and mask [pieces, longest], padded behind."""
    longest = max(len(piece.tokens) for piece in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros(len(batch), longest, dtype=torch.long)
    for row, piece in enumerate(batch):
        ids[row, :len(piece.tokens)] = torch.tensor(piece.tokens)
        mask[row, :len(piece.tokens)] = 1
    return ids.to(device), mask.to(device)


@contextlib.contextmanager
def evaluating(torch, device, autocast=False):
    """No gradients; bf16 on a GPU for a model that keeps its weights in fp32 and was trained so."""
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=autocast and device.type == "cuda"):
        yield


def logits_of(model, ids, mask):
    return model(input_ids=ids, attention_mask=mask, use_cache=False).logits


def name_of(folder):
    return os.path.basename(os.path.abspath(folder))
