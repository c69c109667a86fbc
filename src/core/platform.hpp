// Lets one text compile as plain C++ and as CUDA: the only place that knows which compiler reads it.
#pragma once

#if defined(__CUDACC__)
#define TATR_HD __host__ __device__
#else
#define TATR_HD
#endif

/// Before a loop: a GPU's compiler repeats the body, so that loads run ahead of a chain of sums.
#if defined(__CUDA_ARCH__)
#define TATR_UNROLL_ON_GPU _Pragma("unroll 8")
#else
#define TATR_UNROLL_ON_GPU
#endif
