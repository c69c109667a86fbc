/* libtatr: token routing and tile-aware token rounding of mixture-of-experts layers, for programs that own the data.
 *
 * A rounder is made once for a shape, a router and a strategy. Then it turns router logits, or top-k that are known
 * already, into rows by expert, as often as wanted: of a GPU's memory on a given stream, or of the host's. It computes
 * in a workspace that the caller gives, waits for nothing and allocates nothing on a GPU while it rounds, and may be
 * captured into a CUDA graph after a first round alike (the same function and outputs). Results have the bits of `tatr-sim run --export`, whatever computes them.
 *
 *   tatr_rounder* rounder;
 *   tatr_create(&rounder, "{\"router\": {\"tokens\": 4096, \"experts\": 256, \"top_k\": 8}, "
 *                         "\"strategy\": \"nearest\", \"tile\": 128, \"device\": \"cuda:0\"}");
 *   tatr_prepare(rounder, workspace, tatr_workspace_bytes(rounder), stream);
 *   tatr_outputs outputs = {0};
 *   outputs.size = sizeof outputs;
 *   outputs.offsets = ...; outputs.token = ...; outputs.gate = ...;
 *   tatr_round_logits(rounder, logits, &outputs, stream);
 *
 * T, E, K: tokens, experts, experts of each token. R: rows after rounding, offsets[E], at most tatr_most_rows().
 * Functions return TATR_OK or what went wrong, in words from tatr_last_error(). A rounder is used by one thread at a
 * time, and on one stream at a time; different ones are independent. */
#ifndef TATR_H
#define TATR_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define TATR_API __attribute__((visibility("default")))
#else
#define TATR_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when something is added. What is there stays as it is; were it ever not to, the library's soname would change. */
#define TATR_INTERFACE_VERSION 1

typedef enum tatr_status {
  TATR_OK = 0,
  TATR_BAD_ARGUMENT = 2, /* options, sizes, pointers, or the data that a round was given */
  TATR_ENVIRONMENT = 3,  /* no such GPU, no driver, a CUDA call that failed */
  TATR_INTERNAL = 4      /* a fault of the library */
} tatr_status;

typedef struct tatr_rounder tatr_rounder;

/* Where results go: memory of the rounder's device. Null: not wanted. Set all to 0 first, then
 * `size` to sizeof(tatr_outputs), so that later versions may add to it. */
typedef struct tatr_outputs {
  size_t size;
  /* of the routing, before rounding */
  int32_t* chosen; /* [T, K] experts of each token, best first */
  float* gates;    /* [T, K] what they weigh */
  int32_t* counts; /* [E] rows of each expert */
  /* rows by expert, after rounding: those of expert e are offsets[e] ... offsets[e+1] - 1, by falling gate, then those
   * that were added */
  int32_t* targets; /* [E] rows of each expert */
  int32_t* offsets; /* [E+1] */
  int32_t* token;   /* [most rows] token of each row; -1: a padding row, and all from R on */
  int32_t* expert;  /* [most rows] expert of each row; -1 from R on */
  float* gate;      /* [most rows] 0 for padding and duplicated rows, and from R on */
  /* the same rows by token */
  int32_t* token_offsets; /* [T+1] */
  int32_t* token_rows;    /* [most rows] rows of each token, ascending: those of token t are token_rows[token_offsets[t]] ... */
  /* and as engines take them that know top-k alone: `width` places a token, by expert. Rows that find no place are
   * left out, and tatr_check tells. */
  int32_t* topk_ids;   /* [T, width] expert; -1: none */
  float* topk_weights; /* [T, width] 0 where there is none */
  int32_t width;
} tatr_outputs;

/* The version of the program that the library was built with, "0.1.0", and of this interface. */
TATR_API const char* tatr_version(void);
TATR_API int32_t tatr_interface_version(void);

/* GPUs that can be used: 0 without a driver, or in a build without CUDA. */
TATR_API int32_t tatr_device_count(void);

/* What the calling thread's last call that did not return TATR_OK said: one line, valid until its next call. */
TATR_API const char* tatr_last_error(void);

/* Makes a rounder from options, a JSON object:
 *   router    tokens, experts, top_k; as in tatr-sim's configs also scoring, normalise_gates, selection_bias, groups, and
 *             logits: "bf16" rounds them before routing
 *   strategy  a name, or an object with options, as in configs
 *   tile      rows of a tile
 *   device    "cpu" (default) or "cuda:0" ...
 *   dtype     of the logits given: "fp32" (default) or "bf16", which implies logits: "bf16"
 *   seed, layer  of strategies that draw (default 0)
 *   threads   of the CPU; by default as many as OpenMP gives the calling thread
 * Errors name the option as "options:/strategy/threshold". */
TATR_API tatr_status tatr_create(tatr_rounder** rounder, const char* options);
TATR_API void tatr_destroy(tatr_rounder* rounder);

/* Bytes of the workspace, and the most rows there can be: T K, and up to tile - 1 for each expert. */
TATR_API size_t tatr_workspace_bytes(const tatr_rounder* rounder);
TATR_API int64_t tatr_most_rows(const tatr_rounder* rounder);

/* Gives the rounder its workspace, memory of its device, aligned to 256 bytes, whose contents it keeps from then on; it
 * is the caller's again after tatr_destroy, or another tatr_prepare, once the stream has passed the last round. Waits for `stream` (a cudaStream_t; null on
 * the CPU), so it cannot be captured. */
TATR_API tatr_status tatr_prepare(tatr_rounder* rounder, void* workspace, size_t bytes, void* stream);

/* Routes logits [T, E], row by row without gaps, and rounds. NaN counts as the least finite number, and tatr_check
 * tells; infinities as the greatest and least. */
TATR_API tatr_status tatr_round_logits(tatr_rounder* rounder, const void* logits, const tatr_outputs* outputs, void* stream);

/* Rounds top-k that are known: ids [T, K], distinct in a row, and scores [T, K] in [0, 1] that gates follow (as
 * normalise_gates says), or null: all weigh the same. Added rows are padding, for the next best are not known. An id that
 * is no expert or is there twice becomes another expert, and tatr_check tells. */
TATR_API tatr_status tatr_round_top_k(tatr_rounder* rounder, const int32_t* ids, const float* scores,
                                      const tatr_outputs* outputs, void* stream);

/* Waits for the last round, and says what was wrong with its data: NaN, ids that are none, rows that found no place in
 * topk_ids, a budget of fewer tiles than rounding every expert down needs. */
TATR_API tatr_status tatr_check(tatr_rounder* rounder, void* stream);

#ifdef __cplusplus
}
#endif

#endif /* TATR_H */
