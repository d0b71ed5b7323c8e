// Vectors of 16 floats in the compiler's own notation, so that one source serves AVX-512, AVX2 and
// NEON, and the functions a gate is made of.
#pragma once

#include <cstdint>

constexpr int64_t N = 16;  // floats in a vector
typedef float V __attribute__((vector_size(N * sizeof(float)), aligned(4), may_alias));

#define INLINE inline __attribute__((always_inline))

INLINE V load(const float* p) { return *reinterpret_cast<const V*>(p); }
INLINE void store(float* p, V v) { *reinterpret_cast<V*>(p) = v; }
INLINE V fill(float x) { return x - V{}; }

// tanh(x) = x P(x^2) / Q(x^2) for |x| <= 9, beyond which a float is +-1. The coefficients were
// fitted for the smallest relative error (2e-8; in floats a few units in the last place).
// A NaN fails both comparisons and so stays one.
INLINE V tanh(V x) {
  const V edge = fill(9.0f);
  x = x > edge ? edge : x;
  x = x < -edge ? -edge : x;
  const V u = x * x;
  V p = u * 1.335469543825847e-08f + 2.0609109525303064e-05f;
  p = p * u + 3.4955898945226035e-03f;
  p = p * u + 1.3381027163203457e-01f;
  p = p * u + 9.99999979466889e-01f;
  V q = u * 7.776572999729657e-07f + 3.2856376295454295e-04f;
  q = q * u + 2.5876989033931375e-02f;
  q = q * u + 4.671434275863284e-01f;
  q = q * u + 1.0f;
  return x * p / q;
}

INLINE V sigmoid(V x) { return tanh(x * 0.5f) * 0.5f + 0.5f; }

// acc[m][r] += sum over k of a[m * lda + k] * panel[k][r], for M rows and R vectors of columns.
// Meanwhile `ahead` lines a step, from `next` on, are fetched into the second-level cache.
template <int M, int R>
INLINE void product(const float* a, int64_t lda, int64_t K, const float* panel, V (&acc)[M][R],
                    const float* next, int ahead) {
  V sum[M][R];  // of its own: acc has an address, and would be stored at each k
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sum[m][r] = acc[m][r];
  for (int64_t k = 0; k < K; ++k) {
    for (int i = 0; i < ahead; ++i, next += N) __builtin_prefetch(next, 0, 2);
    V w[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) w[r] = load(panel + (k * R + r) * N);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const V x = fill(a[m * lda + k]);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sum[m][r] += x * w[r];
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) acc[m][r] = sum[m][r];
}
