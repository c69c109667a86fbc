"""Trains small mixture-of-experts language models, plain and with strategies in training, and serves each plain and with every strategy."""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import time

from . import capture, corpus, models, settings
from .forward import RoundedForward, core
from .intervals import spread
from .perplexity import measure
from .problems import Problem, needed, say, write_whole
from .texts import batches_of, interleaved, pieces_of

# Name: (shape, training). 256-top8 is the model that the shipped calibration was measured on.
PRESETS = {
    "256-top8": ({}, {}),
    "64-top2": ({"experts": 64, "top_k": 2, "expert_width": 512}, {}),
    "128-top8": ({"experts": 128, "layers": 4}, {}),
    "32-top4": ({"experts": 32, "top_k": 4, "layers": 12, "expert_width": 256}, {}),
    "64-top8-sigmoid": ({"experts": 64, "scoring": "sigmoid"}, {}),
    "tiny": ({"vocabulary": 256, "width": 32, "layers": 2, "heads": 2, "experts": 8, "top_k": 2, "expert_width": 16, "length": 64},
             {"steps": 30, "step_tokens": 512, "tokenizer": "bytes", "tiles": "32", "groups": "256", "eval_tokens": 1024, "train_tile": 32}),
}
TRAINING = {"steps": 1200, "step_tokens": 8192, "tokenizer": "bpe", "tiles": "64,128,256", "groups": "4096,16384", "eval_tokens": 262144, "train_tile": 128}
BEGIN_OPTIONS = ("preset", "steps", "step_tokens", "tokenizer", "train_tile", "learning_rate", "balance", "text", "megabytes")  # of all a folder's runs
SERVE_OPTIONS = ("serve", "tiles", "groups", "eval_tokens")  # with others, models are served anew and not trained


def parser():
    parser = argparse.ArgumentParser(prog="torch_tatr lab", description=__doc__, epilog=(
        "Begun again on the same folder it goes on where it stopped: finished runs are kept, one that was broken off starts from its last "
        "checkpoint; with more --train, --seeds or another --serve it does what is missing. FOLDER/lab.json and lab.md hold the table, measurements.json what scripts/calibrate.py fits (of the plainly trained), "
        "runs/*/trace a trace of the routers for tatr-sim."))
    parser.add_argument("--out", required=True, metavar="FOLDER", help="of everything: made here, or gone on with")
    parser.add_argument("--preset", default="256-top8", choices=PRESETS, help="the model (256-top8)")
    parser.add_argument("--train", default="plain,nearest,budget", metavar="LIST", help="plain, and strategies in training (plain,nearest,budget)")
    parser.add_argument("--serve", default='down,nearest,adaptive,budget,{"name": "budget", "tiles": {"of_nearest": 0.5}, "label": "half"},up', metavar="LIST",
                        help="strategies that each model is served with, beside plain")
    parser.add_argument("--seeds", type=models.positive, default=3, help="trainings of each kind (3)")
    parser.add_argument("--steps", type=models.positive, help="of training (1200)")
    parser.add_argument("--step-tokens", type=models.positive, help="tokens of a step, which are rounded together in training (8192)")
    parser.add_argument("--train-tile", type=models.positive, help="tile in training (128)")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of AdamW, at its highest (0.001)")
    parser.add_argument("--balance", type=float, default=0.01, help="weight of the load-balancing loss, mean over layers (0.01)")
    parser.add_argument("--tiles", metavar="LIST", help="tiles served (64,128,256)")
    parser.add_argument("--groups", metavar="LIST", help="tokens that are rounded together where served (4096,16384)")
    parser.add_argument("--eval-tokens", type=models.positive, help="tokens of validation (262144)")
    parser.add_argument("--text", metavar="FOLDER", help="texts to train on; without it, those of the Debian packages here")
    parser.add_argument("--megabytes", type=models.positive, default=40, help="of text at most (40)")
    parser.add_argument("--tokenizer", choices=["bpe", "bytes"], help="bpe: 8192 tokens, trained on the text")
    parser.add_argument("--device", default="auto", help="cuda, cpu; auto: a GPU where there is one")
    parser.add_argument("--checkpoint-steps", type=models.positive, default=200, help="steps between checkpoints (200)")
    return parser


def main(argv):
    arguments = parser().parse_args(argv)
    shape_keys, training_keys = PRESETS[arguments.preset]
    for name, value in {**TRAINING, **training_keys}.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    tiles, groups = settings.integers(arguments.tiles, "--tiles", 8, 1024, 8), settings.integers(arguments.groups, "--groups", 1, 1 << 20)
    trained, served = kinds(arguments.train), settings.strategies(arguments.serve)
    torch = needed("torch", "lab")
    core()
    from .lab_model import Shape
    shape = Shape(**shape_keys)
    check_shape(arguments, shape)
    device = models.device_of(arguments.device)
    out = pathlib.Path(arguments.out)
    begin(out, arguments)
    training, validation, about = corpus.prepare(out, arguments.text, arguments.megabytes, arguments.tokenizer, shape.vocabulary)
    if len(training) <= shape.length + 1:
        raise Problem(f"{len(training)} tokens of text: fewer than a sequence of {shape.length}")
    pieces = interleaved(pieces_of(validation, shape.length))
    runs = []
    for kind, strategy in trained:
        for seed in range(arguments.seeds):
            lab = Run(torch, arguments, shape, device, out / "runs" / f"{file_name(kind)}-seed{seed}", kind, strategy, seed)
            runs.append(lab.finished(training, pieces, served, tiles, groups))
    write_results(out, arguments, shape, about, runs, served, models.machine(torch, device))
    return 0


def kinds(text):
    """(label, strategy) of each way to train; None: plain."""
    parts = text.split(",")
    found = [("plain", None)] if "plain" in [part.strip() for part in parts] else []
    rest = ",".join(part for part in parts if part.strip() not in ("plain", ""))
    if rest:
        found += [(settings.label(strategy), settings.options_of(strategy)) for strategy in settings.strategies(rest)]
    if not found:
        raise Problem(f"--train {text}: names nothing; allowed: plain, and strategies")
    return found


def file_name(label):
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in label)[:60]


def check_shape(arguments, shape):
    if arguments.step_tokens % shape.length:
        raise Problem(f"--step-tokens {arguments.step_tokens}: not a multiple of a sequence's {shape.length} tokens")
    if arguments.train_tile % 8:
        raise Problem(f"--train-tile {arguments.train_tile}: not a multiple of 8")


def begin(out, arguments):
    """The folder, with the options that it was begun with: others would mix what cannot be compared."""
    options = {name: getattr(arguments, name) for name in BEGIN_OPTIONS}
    try:
        (out / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"{out}: cannot be made: {error.strerror}", 3) from None
    path = out / "options.json"
    if not path.exists():
        write_whole(path, json.dumps(options, indent=1) + "\n")
    before = json.loads(path.read_text())
    for name, value in options.items():
        if before.get(name) != value:
            raise Problem(f"{out}: was begun with {name} {before.get(name)!r}, not {value!r}; name another folder")


class Run:
    """One training, and what it gave when it was served. Each part that is done is a file."""

    def __init__(self, torch, arguments, shape, device, folder, kind, strategy, seed):
        self.torch, self.arguments, self.shape, self.device, self.folder = torch, arguments, shape, device, folder
        self.kind, self.strategy, self.seed = kind, strategy, seed
        folder.mkdir(exist_ok=True)

    def finished(self, training, pieces, served, tiles, groups):
        served_file = self.folder / "served.json"
        options = {name: getattr(self.arguments, name) for name in SERVE_OPTIONS}
        if served_file.exists() and (before := json.loads(served_file.read_text()))["options"] == options:
            return before
        say(f"{self.folder.name}")
        model, trained = self.trained(training)
        model.eval()
        blocks = capture.find_blocks(model)
        rows, plain = measure(self.torch, model, blocks, pieces, served, tiles, groups, self.arguments.eval_tokens, self.seed, autocast=True)
        self.write_trace(model, blocks, pieces)
        result = {"train": self.kind, "seed": self.seed, "options": options, "training": trained, "plain": plain, "rows": rows,
                  "covers": settings.covers(served, [block.options for block in blocks])}
        write_whole(served_file, json.dumps(result, indent=1) + "\n")
        return result

    def write_trace(self, model, blocks, pieces):
        """Logits of the first group of validation."""
        folder = self.folder / "trace"
        group = min(4096, sum(len(piece.tokens) for piece in pieces))
        if not folder.exists():
            record = capture.record_of(self.torch, model, blocks, [next(batches_of(pieces, group))], autocast=True)
            name = f"{self.arguments.preset} trained {self.kind} seed {self.seed}"
            capture.write_folder(os.fspath(folder), blocks, record, capture.configs_of(self.arguments, blocks, group, 1, name))

    def trained(self, training):
        """The trained model, and how its training went."""
        from .lab_model import LabModel
        torch = self.torch
        torch.manual_seed(self.seed)
        model = LabModel(self.shape).to(self.device)
        model_file, log_file = self.folder / "model.pt", self.folder / "training.json"
        if model_file.exists() and log_file.exists():
            model.load_state_dict(self.read(model_file))
            return model, json.loads(log_file.read_text())
        log = self.train(model, training)
        self.write(model_file, model.state_dict())
        write_whole(log_file, json.dumps(log, indent=1) + "\n")
        (self.folder / "checkpoint.pt").unlink(missing_ok=True)
        return model, log

    def read(self, path):
        return self.torch.load(path, map_location=self.device, weights_only=True)

    def write(self, path, state):
        beside = path.with_suffix(".part")
        try:
            self.torch.save(state, beside)
            os.replace(beside, path)
        except (OSError, RuntimeError) as error:
            beside.unlink(missing_ok=True)
            raise Problem(f"{path}: cannot be written: {str(error).splitlines()[0]}", 3) from None

    def train(self, model, training):
        torch, steps = self.torch, self.arguments.steps
        optimiser = torch.optim.AdamW(groups_of(model), self.arguments.learning_rate, betas=(0.9, 0.95), fused=self.device.type == "cuda" or None)
        first, seconds, losses = 0, 0.0, []
        checkpoint = self.folder / "checkpoint.pt"
        if checkpoint.exists():
            state = self.read(checkpoint)
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            first, seconds, losses = state["step"], state["seconds"], state["losses"]
            say(f"  goes on from step {first}")
        model.train()
        data = torch.from_numpy(training.astype("int64"))
        blocks = blocks_with_options(model, self.shape)
        began = time.monotonic() - seconds
        with RoundedForward(torch, blocks) if self.strategy is not None else Nothing() as rounded:
            for step in range(first, steps):
                loss = self.step(model, optimiser, data, step, rounded)
                if step % 50 == 0 or step + 1 == steps:
                    losses.append([step, float(loss)])
                    say(f"  step {step} of {steps}: loss {float(loss):.4f}, {time.monotonic() - began:.0f} s")
                    if not math.isfinite(losses[-1][1]):
                        raise Problem(f"{self.folder}: the loss is {losses[-1][1]} at step {step}; try a lower --learning-rate", 3)
                if (step + 1) % self.arguments.checkpoint_steps == 0 and step + 1 < steps:
                    self.write(checkpoint, {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1,
                                            "seconds": time.monotonic() - began, "losses": losses})
        return {"steps": steps, "seconds": round(time.monotonic() - began, 1), "losses": losses, "parameters": sum(part.numel() for part in model.parameters())}

    def step(self, model, optimiser, data, step, rounded):
        """One step, on windows of text that seed and step alone decide: a training that was broken off goes on as if it had not been."""
        torch, length = self.torch, self.shape.length
        for group in optimiser.param_groups:
            group["lr"] = self.arguments.learning_rate * schedule(step, self.arguments.steps)
        draw = torch.Generator().manual_seed(1_000_003 * self.seed + step)
        begins = torch.randint(len(data) - length, (self.arguments.step_tokens // length, 1), generator=draw)
        window = data[begins + torch.arange(length + 1)].to(self.device)
        ids, following = window[:, :-1], window[:, 1:]
        if rounded is not None:
            rounded.begin(self.strategy, self.arguments.train_tile, step if settings.draws(self.strategy) else 0)
            rounded.wants_metrics = False
            rounded.group(torch.ones_like(ids))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = model(ids).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), following.flatten())
        (loss + self.arguments.balance * model.balance()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss.detach()


class Nothing:
    def __enter__(self):
        return None

    def __exit__(self, *_):
        pass


def schedule(step, steps):
    """Of the learning rate: up over a twelfth of the steps, then down a cosine to a tenth."""
    warm = max(1, steps // 12)
    if step < warm:
        return (step + 1) / warm
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def groups_of(model):
    """Matrices decay; norms and embeddings do not."""
    decayed = [part for name, part in model.named_parameters() if part.dim() > 1 and "embedding" not in name]
    others = [part for name, part in model.named_parameters() if part.dim() <= 1 or "embedding" in name]
    return [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]


def blocks_with_options(model, shape):
    from .router_options import RouterOptions
    blocks = capture.find_blocks(model)
    for block in blocks:
        block.options = RouterOptions(shape.experts, shape.top_k, shape.scoring, True)
    return blocks


def write_results(out, arguments, shape, about, runs, served, on):
    """lab.json, lab.md and measurements.json, of all runs that there are."""
    table = table_of(runs)
    document = {"about": "Small mixture-of-experts language models: perplexity by how they were trained and how they are served, mean and standard "
                         "deviation over seeds; `change` is of ln(perplexity) against the plainly trained of the same seed, served plain.",
                "preset": arguments.preset, "shape": dataclasses.asdict(shape),
                "options": {name: getattr(arguments, name) for name in (*BEGIN_OPTIONS, *SERVE_OPTIONS)},
                "corpus": about, "machine": on, "seconds": {f"{run['train']}-seed{run['seed']}": run["training"]["seconds"] for run in runs}, "table": table}
    write_whole(out / "lab.json", json.dumps(document, indent=1) + "\n")
    write_whole(out / "lab.md", markdown(arguments, shape, on, runs, table))
    plain = [run for run in runs if run["train"] == "plain"]
    if plain:
        measurements = {"about": f"torch_tatr lab, preset {arguments.preset}, {arguments.steps} steps, {on}: rounded at evaluation; `run`: the seed.",
                        "model": arguments.preset, "covers": plain[0]["covers"],
                        "rows": [{"run": run["seed"], **row} for run in plain for row in run["rows"]]}
        write_whole(out / "measurements.json", json.dumps(measurements, indent=1) + "\n")
    say((out / "lab.md").read_text())
    say(f"{out}/lab.json, lab.md" + (f", measurements.json; next: scripts/calibrate.py {out}/measurements.json --name '{arguments.preset}'" if plain else ""))


def table_of(runs):
    """An entry for each training, serving, tile and group."""
    base = {(run["seed"], plain["tokens"]): plain["log_perplexity"] for run in runs if run["train"] == "plain" for plain in run["plain"]}
    cells = {}
    for run in runs:
        for plain in run["plain"]:
            served = [("plain", None, 0.0)]
            served += [(row["strategy"], row["tile"], row["log_perplexity_change"]) for row in run["rows"] if row["tokens"] == plain["tokens"]]
            for strategy, tile, change in served:
                cells.setdefault((run["train"], strategy, tile, plain["tokens"]), []).append((run["seed"], plain["log_perplexity"] + change))
    table = []
    for (train, serve, tile, tokens), found in cells.items():
        entry = {"train": train, "serve": serve, "tile": tile, "tokens": tokens, "perplexity": spread(math.exp(min(value, 700.0)) for _, value in found)}
        if base:
            entry["change"] = spread(value - base[seed, tokens] for seed, value in found if (seed, tokens) in base)
        table.append(entry)
    return table


def markdown(arguments, shape, on, runs, table):
    seeds = len({run["seed"] for run in runs})
    lines = [f"Preset {arguments.preset}: {shape.layers} layers, top-{shape.top_k} of {shape.experts} experts, {shape.scoring}; {arguments.steps} steps of "
             f"{arguments.step_tokens} tokens, in training tile {arguments.train_tile}; {seeds} seed{'s' if seeds > 1 else ''}; {on}. "
             "Perplexity, and its change against trained and served plain: mean ± standard deviation over seeds.", ""]
    trains = list(dict.fromkeys(entry["train"] for entry in table))
    for tokens in dict.fromkeys(entry["tokens"] for entry in table):
        for tile in dict.fromkeys(entry["tile"] for entry in table if entry["tile"] is not None):
            part = [entry for entry in table if entry["tokens"] == tokens and entry["tile"] in (None, tile)]
            serves = list(dict.fromkeys(entry["serve"] for entry in part))
            lines += [f"Groups of {tokens} tokens, tile {tile}:", "", "| trained \\ served | " + " | ".join(serves) + " |", "|---" * (len(serves) + 1) + "|"]
            for train in trains:
                cells = [next(cell(entry) for entry in part if entry["train"] == train and entry["serve"] == serve) for serve in serves]
                lines.append(f"| {train} | " + " | ".join(cells) + " |")
            lines.append("")
    return "\n".join(lines)


def cell(entry):
    perplexity, change = entry["perplexity"], entry.get("change")
    if entry["train"] == entry["serve"] == "plain" or change is None:
        return f"{perplexity['mean']:.3f}" + (f" ± {perplexity['deviation']:.3f}" if perplexity["deviation"] is not None else "")
    deviation = f" ± {100 * change['deviation']:.2f}" if change["deviation"] is not None else ""
    return f"{100 * math.expm1(min(change['mean'], 20.0)):+.2f}{deviation} %"
