"""Results of tatr-sim as the pictures need them. A key that is missing counts as null."""

import json
import math
import numbers
import re
import shlex

HOW_WORDS = {"measured": "measured", "reduced": "CPU, reduced shape: not to be compared with a GPU's",
             "modelled": "modelled"}


class ResultError(Exception):
    """A file that is no result; the message names the place."""


def is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def format_value(value):
    if not is_number(value):
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return text.replace("e-0", "e-") if "e" in text else text


def format_percent(share):
    return format_value(100 * share) + "%" if is_number(share) else "–"


def plural(count, noun):
    return f"{format_value(count)} {noun}{'' if count == 1 else 's'}"


def format_loss(share):
    """Of perplexity: in hundredths of a percent, less than the estimate's error."""
    if not is_number(share):
        return "–"
    text = f"{100 * share:+.{2 if abs(share) < 0.1 else 1}f}"
    return ("0" if float(text) == 0 else text) + "%"


METRIC_WORDS = {"dropped_gate_mass": "lost gate mass", "mean_square_dropped_mass": "square of lost gate mass", "tile_utilisation": "utilisation",
                "speedup": "speed-up", "end_to_end_speedup": "end-to-end speed-up",
                "forward_speedup": "forward speed-up", "backward_speedup": "backward speed-up"}


def metric_words(metric):
    return METRIC_WORDS.get(metric, metric.replace("_", " "))


def tile_words(tile):
    return "tiles by load" if tile is None else f"tile {tile}"


def distinct(values):
    return list(dict.fromkeys(values))


def how_of(kind, timed):
    return "modelled" if kind == "modelled" else "reduced" if timed.get("cpu_reduced") else "measured"


REDUCTION_STEP = 64  # rows that a weight gradient adds up at once: kReductionStep of src/model/tile_cost.hpp
BACKWARD_GEMMS = ("dgrad_down", "wgrad_down", "dgrad_up", "wgrad_up")

SUMS = {"forward_ms": "forward", "backward_ms": "backward"}  # of a training pass, over the stages of either way
STAGES = {"gather_ms": "gather", "up_ms": "up-projection", "activation_ms": "SwiGLU", "down_ms": "down-projection", "combine_ms": "combine",
          "gather_dy_ms": "gather of dY", "dgrad_down_ms": "data gradient, down", "swiglu_gradient_ms": "SwiGLU gradient",
          "wgrad_down_ms": "weight gradient, down", "dgrad_up_ms": "data gradient, up", "combine_dx_ms": "combine of dX",
          "gather_again_ms": "gather again", "wgrad_up_ms": "weight gradient, up"}


class Setting:
    """One strategy at one tile: a layer's record, or the network's where there are several layers."""

    def __init__(self, record, experiment):
        self.record, self.experiment = record, experiment
        self.label, self.tile = record["label"], record.get("tile")
        self.title = f"{self.label}, {tile_words(self.tile)}" if len(experiment.tiles) > 1 else self.label
        self.how = self.layer_ms = self.speedup = self.modelled = None  # an interval is (value, low, high)
        timing = record.get("timing")
        if timing:
            self.how = how_of(timing.get("kind"), timing)
            layer, speedup = timing.get("layer_ms") or {}, timing.get("speedup") or {}
            if is_number(layer.get("median")):
                self.layer_ms = (layer["median"], layer.get("lower_quartile"), layer.get("upper_quartile"))
            elif is_number(layer.get("value")):
                self.layer_ms = (layer["value"], layer.get("low"), layer.get("high"))
            if is_number(speedup.get("value")):
                self.speedup = (speedup["value"], speedup.get("low"), speedup.get("high"))
        elif is_number(record.get("layer_ms")):  # a network's sums of medians, which have no interval
            self.how = how_of(record.get("timing_kind"), record)
            self.layer_ms = (record["layer_ms"], None, None)
            if is_number(record.get("speedup_of_sums")):
                self.speedup = (record["speedup_of_sums"], None, None)

    def trains(self):
        return (self.record.get("timing") or {}).get("pass") == "training"

    def parts(self, names=STAGES):
        """{part in words: (ms, low, high)} of those that ran."""
        found = {}
        for key, words in names.items():
            series = (self.record.get("timing") or {}).get(key) or {}
            value, *span = [series.get(name) for name in (("value", "low", "high") if "value" in series else ("median", "lower_quartile", "upper_quartile"))]
            if is_number(value):
                found[words] = (value, *span)
        return found

    def tile_rows(self):
        """Rows of whole tiles, on which a GEMM's time depends: comparable across tile sizes. None if it is not known."""
        record = self.record
        if is_number(record.get("tile")) and is_number(record.get("tiles")):
            return record["tile"] * record["tiles"]
        useful = [record.get(name) for name in ("rows", "padded", "duplicated")]
        if not all(map(is_number, useful)) or not record.get("tile_utilisation"):
            return None
        return round((useful[0] - useful[1] - useful[2]) / record["tile_utilisation"])

    def work(self):
        """What the time of the GEMMs follows, against others of this tile: tiles; of a training pass rows both ways, of whole tiles
        and of whole steps of weight gradients, over all layers. None if it is not known."""
        if self.tile is None:
            return None
        if not self.experiment.trains():
            return self.record.get("tiles")
        layers = [self.record] if not self.experiment.is_network else [
            record for record in self.experiment.data["strategies"] if (record["label"], record.get("tile")) == (self.label, self.tile)]
        if not all(is_number(record.get("tiles")) and record.get("counts_after") for record in layers):
            return None
        return sum(2 * record["tiles"] * self.tile + sum(-(-count // REDUCTION_STEP) * REDUCTION_STEP for count in record["counts_after"])
                   for record in layers)

    def floor_ms(self):
        """The modelled floor of the pass's GEMMs, or None."""
        timing = self.record.get("timing") or {}
        floors = timing.get("floors") or {}
        gemms = ("up", "down", *BACKWARD_GEMMS) if self.trains() else ("up", "down")
        parts = [(floors.get(gemm) or {}).get("ms") for gemm in gemms]
        return sum(parts) if all(map(is_number, parts)) else None


class Experiment:
    def __init__(self, data, source, environment):
        self.data, self.source, self.environment, self.title = data, source, environment, data["name"]
        records = data["strategies"]
        self.layers = distinct(record.get("layer", 0) for record in records)
        self.tiles = distinct(record.get("tile") for record in records)
        network = data.get("network") or [] if len(self.layers) > 1 else []
        self.is_network = bool(network)
        self.settings = [Setting(record, self) for record in network or records]
        plain = {}
        for setting in self.settings:
            if setting.record["name"] == "none":
                plain.setdefault(setting.tile, setting)
        for setting in self.settings:
            setting.modelled = self.speedup_by_work(setting, plain.get(setting.tile))
        routing = (data.get("routing") or [None])[0]
        self.load = routing["assignments"] / routing["experts"] if routing and routing.get("experts") else None
        self.kin = self.kinship()

    def of_layer(self, layer):
        return [Setting(record, self) for record in self.data["strategies"] if record.get("layer", 0) == layer]

    def trains(self):
        """Whether passes go forward and backward."""
        return ((self.data.get("config") or {}).get("layer") or {}).get("pass") == "training"

    @staticmethod
    def speedup_by_work(setting, plain):
        """What the number of tiles alone would give, or of a training pass rows, against `plain` at the same tile: others are not
        comparable. Beside a model of the layer's time it says nothing."""
        if setting.how == "modelled" or plain is None:
            return None
        before, after = plain.work(), setting.work()
        return before / after if is_number(before) and after else None

    def kinship(self):
        """The same for experiments that differ in their load only: these are joined in one panel."""
        config = dict(self.data.get("config") or {"name of its own": self.title})
        router = dict(config.pop("router", None) or {})
        for key in ("name", "description", "documented", "measure"):
            config.pop(key, None)
        for key in ("tokens", "experts", "top_k"):
            router.pop(key, None)
        return json.dumps([config, router, self.environment.get("device"), (self.data.get("model") or {}).get("digest")], sort_keys=True)

    def how_words(self, how):
        """How times came about; of a modelled GPU with its name and what casts doubt on it."""
        model = self.data.get("model")
        if how != "modelled" or not model:
            return HOW_WORDS[how]
        return model["device"] + (f": {model['doubt']}" if model.get("doubt") else "")

    def subtitle(self):
        """What was routed, and where and how times were taken."""
        words = []
        routing = (self.data.get("routing") or [None])[0]
        if routing:
            layers = f"{len(self.layers)} layers, " if len(self.layers) > 1 else ""
            words.append(f"{layers}{routing['tokens']:,} tokens, {routing['experts']} experts, top-{routing['top_k']}")
        timing = next((record["timing"] for record in self.data["strategies"] if record.get("timing")), None)
        if timing:
            device = self.environment.get("device") or ""
            shape = timing.get("shape") or {}
            size = f"{shape['hidden']} × {shape['intermediate']}" if "hidden" in shape and "intermediate" in shape else "of unknown shape"
            if timing.get("kind") == "modelled":
                words.append(f"layer {size}, {self.how_words('modelled')}")
            elif timing.get("cpu_reduced"):
                words.append(f"CPU, reduced shape {size}")
            else:
                words.append(", ".join(filter(None, (f"layer {size}", self.environment.get("cpu") if device == "cpu" else device))))
        return "; ".join(words)


def parse_documents(text, source):
    """One JSON document, or JSONL: one a line."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise ResultError(f"{source}: is empty; expected a result of tatr-sim run --json")
    try:
        first = json.loads(lines[0][1])
    except ValueError:
        first = None
    try:
        if first is None or len(lines) == 1:
            return [(source, json.loads(text))]
        return [(f"{source} (line {number})", json.loads(line)) for number, line in lines]
    except ValueError as error:
        raise ResultError(f"{source}: not valid JSON: {error}") from None


def why_no_result(document, source):
    """What a document is in place of a result, and what to do with it."""
    has = lambda *keys: isinstance(document, dict) and any(key in document for key in keys)
    if has("router", "strategies"):
        return f"is a config, no result; tatr-sim run {shlex.quote(source)} --json result.json makes its result"
    if has("multiprocessors", "ceilings"):
        return f"is a device file, no result; tatr-sim run CONFIG --device model:{source} --json result.json makes one"
    return 'is no result of tatr-sim: it has no "experiments"; tatr-sim run CONFIG --json result.json makes one'


def read_experiments(documents):
    """Every experiment of every (source, result), each with a title that no other has."""
    experiments = []
    for source, result in documents:
        if not isinstance(result, dict) or "experiments" not in result:
            raise ResultError(f"{source}: {why_no_result(result, source)}")
        try:
            for data in result["experiments"]:
                experiments.append(Experiment(data, source, result.get("environment") or {}))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ResultError(f"{source}: not a result of tatr-sim: {type(error).__name__} {error}") from None
    by_title = {}
    for experiment in experiments:
        by_title.setdefault(experiment.title, []).append(experiment)
    for same in by_title.values():
        for number, experiment in enumerate(same, 1):
            experiment.title += f" #{number}" if len(same) > 1 else ""
    return experiments


def base_name(experiment):
    """Without what a sweep adds."""
    return re.sub(r" \([a-z_]+[/=].*\)$", "", str(experiment.data["name"]), flags=re.DOTALL)


def settings_of(experiment):
    """The values of a config by their paths, and the device."""
    found = {}

    def walk(path, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{path}/{key}" if path else key, inner)
        else:
            found[path] = ", ".join(map(str, value)) if isinstance(value, list) else value
    config = experiment.data.get("config") or {}
    walk("", {key: value for key, value in config.items() if key not in ("name", "description", "documented", "strategies", "$schema")})
    if experiment.environment.get("device") == "cpu" and "layer/grad_dtype" in found:
        found["layer/grad_dtype"] = "fp32"  # whatever is asked for
    found["device"] = (experiment.data.get("model") or {}).get("device") or experiment.environment.get("device")
    return found


def source_words(experiment, experiments):
    """The kind of a source, and what varies among the sources of its kind."""
    source = lambda e: ((e.data.get("config") or {}).get("router") or {}).get("source") or {}
    own = source(experiment)
    alike = [source(e) for e in experiments if source(e).get("kind") == own.get("kind")]
    varied = [key for key, value in own.items() if not isinstance(value, (dict, list)) and any(other.get(key) != value for other in alike)]
    return ", ".join([str(own.get("kind", "")), *(f"{key.replace('_', ' ')} {own[key]}" for key in varied)])


def differences(experiments):
    """A function from an experiment to what sets it apart: its name, or, in one sweep, the settings that vary but its load."""
    if len(experiments) < 2:
        return lambda experiment: ""
    if len(distinct(map(base_name, experiments))) > 1:
        return lambda experiment: experiment.title
    settings = {experiment: settings_of(experiment) for experiment in experiments}
    paths = [path for path in distinct(path for own in settings.values() for path in own)
             if not re.match(r"measure|router/(tokens|experts|top_k)$", path)]
    varied = [path for path in paths if len(distinct(own.get(path) for own in settings.values())) > 1]
    kinds = "router/source/kind" in varied
    if kinds:
        varied = [path for path in varied if not path.startswith("router/source/") or path == "router/source/kind"]

    def words(experiment):
        told = []
        for path in varied:
            value, name = settings[experiment].get(path), path.split("/")[-1].replace("_", " ")
            if path == "router/source/kind":
                told.append(source_words(experiment, experiments))
            elif value is not None:
                told.append(str(value) if path == "device" else f"{name} {value}")
        return ", ".join(told)
    return words


def quality_of(settings):
    """Name, unit format, (value, low, high) of each setting's best estimate of lost quality, and the estimate's error near 0, if it
    has one; None if there is none."""
    estimates = [setting.record.get("estimated_perplexity_change") for setting in settings]
    if estimates and all(e and is_number(e.get("value")) for e in estimates):
        names = ", ".join(distinct(str(e.get("calibration")) for e in estimates))
        halves = [(e["high"] - e["low"]) / 2 for e in estimates if is_number(e.get("low")) and is_number(e.get("high")) and e["high"] > e["low"]]
        error = float(f"{min(halves):.1g}") if halves else None
        return f"estimated perplexity change ({names})", format_loss, [(e["value"], e.get("low"), e.get("high")) for e in estimates], error
    for metric in ("mean_square_dropped_mass", "dropped_gate_mass"):
        if any(is_number(setting.record.get(metric)) for setting in settings):
            return f"{metric_words(metric)}, mean over tokens", format_value, [(setting.record.get(metric), None, None) for setting in settings], None
    return None
