// Compiles a function once for each width of vectors that x86-64 processors have; the loader picks the widest that the
// one at hand can run. All that it calls inline is compiled with it. Results do not depend on the choice: operations
// are fused only where the text says so (-ffp-contract=off), and nothing else differs. For .cpp files: nvcc does not
// know it.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__)
#define TATR_VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), flatten))
#else
#define TATR_VECTOR_CLONES
#endif
