/* Rounds the router logits of 45 tokens to tiles of 8 rows, on the CPU, and prints the rows of each expert.
 *
 *   cc example.c $(pkg-config --cflags --libs libtatr) -o example */
#include <stdio.h>
#include <stdlib.h>
#include <tatr.h>

#define TOKENS 45
#define EXPERTS 3

static void require_ok(tatr_status status) {
  if (status == TATR_OK) return;
  fprintf(stderr, "%s\n", tatr_last_error());
  exit(1);
}

int main(void) {
  float logits[TOKENS][EXPERTS];
  for (int t = 0; t < TOKENS; ++t) {
    for (int e = 0; e < EXPERTS; ++e) logits[t][e] = (float)((t % 5 + e) % 3);
  }
  tatr_rounder* rounder = NULL;
  require_ok(tatr_create(&rounder,
                         "{\"router\": {\"tokens\": 45, \"experts\": 3, \"top_k\": 1}, \"strategy\": \"nearest\", "
                         "\"tile\": 8}"));
  const size_t bytes = tatr_workspace_bytes(rounder);
  void* workspace = aligned_alloc(256, bytes);
  require_ok(tatr_prepare(rounder, workspace, bytes, NULL));

  const size_t most_rows = (size_t)tatr_most_rows(rounder);
  int32_t offsets[EXPERTS + 1];
  int32_t* token = malloc(most_rows * sizeof *token);
  float* gate = malloc(most_rows * sizeof *gate);
  tatr_outputs outputs = {0};
  outputs.size = sizeof outputs;
  outputs.offsets = offsets;
  outputs.token = token;
  outputs.gate = gate;
  require_ok(tatr_round_logits(rounder, logits, &outputs, NULL));
  require_ok(tatr_check(rounder, NULL));

  for (int expert = 0; expert < EXPERTS; ++expert) {
    printf("expert %d: %d rows; first token %d at gate %.3f\n", expert, offsets[expert + 1] - offsets[expert],
           token[offsets[expert]], gate[offsets[expert]]);
  }
  free(gate);
  free(token);
  tatr_destroy(rounder);
  free(workspace);
  return 0;
}
