// Lets one text compile as plain C++ and as CUDA: the only place that knows which compiler reads it.
#pragma once

#if defined(__CUDACC__)
#define TATR_HD __host__ __device__
#else
#define TATR_HD
#endif
