#include <algorithm>
#include <array>
#include <numeric>
#include <set>

#include "core/error.hpp"
#include "core/format.hpp"
#include "source/groups.hpp"
#include "source/routing_source.hpp"
#include "source/trace.hpp"

namespace tatr {

namespace {

TraceFacts facts_of(const RouterConfig& router) {
  return {router.tokens_told ? router.tokens : 0, router.experts, router.scoring, router.top_k};
}

std::vector<RowRange> groups_of(const RouterConfig& router, const TraceInfo& info) {
  return groups_of_tokens(
      {*router.source.path(), router.tokens_told ? router.tokens : 0, router.batches, info.tokens, info.steps});
}

/// "6 layers of 8192 tokens, 256 experts, fp16 logits"
std::string reading_of(const TraceInfo& info, const RouterConfig& router) {
  const TraceSource& source = *router.source.trace();
  const std::int64_t experts = info.experts != 0 ? info.experts : router.experts;
  const std::size_t layers = info.tensors.size();
  std::string text =
      std::to_string(layers) + (layers == 1 ? " layer of " : " layers of ") + std::to_string(info.tokens) + " tokens";
  if (!info.steps.empty())
    text += " in " + std::to_string(info.steps.size()) + (info.steps.size() == 1 ? " step" : " steps");
  if (info.top_k != 0)
    text += ", top " + std::to_string(info.top_k) + " of";
  else
    text += ",";
  text += experts == 0 ? " experts that the config must number" : " " + std::to_string(experts) + " experts";
  text += ", " + info.values;
  if (info.files > 1) text += ", from " + std::to_string(info.files) + " files";
  if (source.mask == "padding")
    text += ", rows of padding left out";
  else if (!source.mask.empty())
    text += ", without the tokens that '" + source.mask + "' masks";
  return text;
}

/// Sequences or steps that are read as layers give other figures without a word. Short, for the first screen.
std::string guess_words(const std::string& guessed, bool top_k) {
  return guessed + "; if those are sequences or steps, set \"axes\": [\"steps\", \"tokens\", " +
         (top_k ? "\"top_k\"]" : "\"experts\"]");
}

class RecordedSource final : public RoutingSource {
 public:
  explicit RecordedSource(const SourceRequest& request)
      : request_(request),
        reader_(*request.router.source.trace(), facts_of(request.router)),
        groups_(groups_of(request.router, reader_.info())) {}

  SourceShape shape() const override {
    const RouterConfig& router = request_.router;
    const TraceInfo& info = reader_.info();
    SourceShape shape{
        0, info.experts, info.top_k, info.tensors.size(), groups_.size(), info.known, reading_of(info, router), {}};
    shape.model = info.model;
    for (const RowRange& group : groups_) shape.tokens = std::max(shape.tokens, group.count);
    const std::int64_t left = info.tokens - groups_.back().first - groups_.back().count;
    if (router.batches && !router.batches->count && left > 0) {
      shape.notes.push_back("the last " + std::to_string(left) + " tokens make no whole group and are left out");
    }
    if (!router.batches && info.steps.size() > 1) {
      shape.notes.push_back(
          "tokens of " + std::to_string(info.steps.size()) +
          " steps are joined as if one step had them all; \"batches\": \"all\" in the router keeps steps apart");
    }
    if (!info.guessed_axes.empty()) shape.notes.push_back(guess_words(info.guessed_axes, info.top_k != 0));
    if (!info.unused_mask.empty()) {
      shape.notes.push_back("the tensor " + info.unused_mask + " is not looked at; \"mask\": \"" + info.unused_mask +
                            "\" in the source leaves masked tokens out");
    }
    return shape;
  }

  std::vector<std::string> layers() const override { return reader_.info().tensors; }

  SourceRead read(System& system, std::size_t layer, std::size_t group) override {
    const TraceLayer read = reader_.read(reader_.info().tensors[layer], groups_[group]);
    if (seen_.insert({layer, group}).second) {
      add_to(digest_, read);
      warn_of(read, layer);
    }
    SourceRead result{LogitInput{}, read.tokens, read.masked};
    if (read.top_k == 0) {
      result.input = LogitInput{Buffer<float>(system, read.logits)};
    } else {
      TopKInput input{Buffer<std::int32_t>(system, read.chosen), {}};
      if (!read.scores.empty()) input.scores = Buffer<float>(system, read.scores);
      result.input = std::move(input);
    }
    return result;
  }

  std::string digest() const override { return digest_.text(); }
  std::vector<std::string> warnings() const override { return warnings_; }

 private:
  void warn_of(const TraceLayer& read, std::size_t layer) {
    if (read.undecided > 0) {
      warnings_.push_back(std::to_string(read.undecided) + " tokens of " + printable(reader_.info().tensors[layer]) +
                          " have probabilities that do not tell their best " + std::to_string(request_.router.top_k) +
                          " experts, for too many are 0 or 1: the lower expert goes first");
    }
    for (const EqualRows& rows : read.equal) {
      warnings_.push_back("rows " + std::to_string(rows.first) + " to " + std::to_string(rows.last) + " of " +
                          printable(reader_.info().tensors[layer]) +
                          " are equal, as a profile or warm-up run has them" +
                          (rows.first == 0 ? "; \"first_token\" in the source skips rows" : ""));
    }
  }

  const SourceRequest& request_;
  TraceReader reader_;
  std::vector<RowRange> groups_;
  std::set<std::pair<std::size_t, std::size_t>> seen_;
  Digest digest_;
  std::vector<std::string> warnings_;
};

/// A layer as it is read: logits in double precision by row and as they are kept, or ids with scores.
std::size_t host_bytes(const RouterConfig& router) {
  const auto tokens = static_cast<std::size_t>(router.tokens);
  return tokens * std::max(static_cast<std::size_t>(router.experts) * 4, static_cast<std::size_t>(router.top_k) * 24);
}

void check_start(const RouterConfig& router) { TraceReader(*router.source.trace(), facts_of(router)).check_start(); }

}  // namespace

const SourceCode kTraceCode = {
    .make = make_source_of<RecordedSource>, .host_bytes = host_bytes, .check_start = check_start};

}  // namespace tatr
