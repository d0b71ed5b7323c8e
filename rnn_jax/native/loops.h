// The loops over time, once for every gate.
//
// A thread takes some lanes through all steps, so that no thread waits for another inside a loop.
// At each step the product with W_hh and the gate are one pass: the sums of a few lanes, for one
// block of hidden units and all of their gates, stay in registers until the gate has used them. A
// lane's sums run over the hidden units in order, so its bits depend neither on the other lanes nor
// on the number of threads.
#pragma once

#include <cstring>
#include <memory>
#include <utility>

#include "gates.h"

struct Loop {
  int64_t T, B, H;
  bool reverse;
  int64_t time(int64_t step) const { return reverse ? T - 1 - step : step; }
};

// Beyond this many floats W does not stay in a core's second-level cache from step to step.
constexpr int64_t kCached = 300'000;

// Columns of W [K, C], R vectors side by side for each k: what `product` reads in order.
struct Panels {
  std::unique_ptr<float[]> own;
  float* first;
  int64_t count, K;
  int R;
  Panels(int64_t count, int64_t K, int R)
      : own(new float[count * K * R * N + N]), count(count), K(K), R(R) {
    const auto raw = reinterpret_cast<uintptr_t>(own.get());
    first = own.get() + (N * sizeof(float) - raw % (N * sizeof(float))) / sizeof(float) % N;
  }
  float* at(int64_t p) const { return first + p * K * R * N; }

  // How many lines of the panel after p to fetch at each k, in each of `parts` passes over p, and
  // where pass q begins.
  int ahead(int64_t parts) const { return count * K * R * N > kCached ? (R + parts - 1) / parts : 0; }
  const float* after(int64_t p, int64_t q, int64_t parts) const {
    return at(p + 1 < count ? p + 1 : 0) + q * K * ahead(parts) * N;
  }
};

// Calls f with m as a compile-time constant, 1 <= m <= M.
template <int M, class F>
INLINE void constant(int64_t m, F f) {
  if (m == M) return f(std::integral_constant<int, M>{});
  if constexpr (M > 1) constant<M - 1>(m, f);
}

// f(first lane, count as a constant, part, parts) for [from, to) in even parts of at most M lanes.
template <int M, class F>
INLINE void in_parts(int64_t from, int64_t to, F f) {
  const int64_t lanes = to - from, parts = (lanes + M - 1) / M;
  for (int64_t q = 0; q < parts; ++q) {
    const int64_t b = from + lanes * q / parts, end = from + lanes * (q + 1) / parts;
    constant<M>(end - b, [&](auto count) { f(b, count, q, parts); });
  }
}

template <class Cell, int NB>
void forward_lanes(const Arrays& a, Loop loop, int64_t from, int64_t to) {
  constexpr int kGates = Cell::kGates, R = kGates * NB;
  const int64_t H = loop.H, G = kGates * H, panels = H / (N * NB);
  const auto column = [H](int64_t p, int r) { return r / NB * H + (p * NB + r % NB) * N; };
  Panels packed(panels, H, R);
  float* out = packed.first;
  for (int64_t p = 0; p < panels; ++p)
    for (int64_t k = 0; k < H; ++k)
      for (int r = 0; r < R; ++r, out += N) std::memcpy(out, a.W + k * G + column(p, r), N * 4);
  for (int64_t step = 0; step < loop.T; ++step) {
    const int64_t at = loop.time(step) * loop.B, before = loop.time(step - 1) * loop.B * H;
    const float* h_prev = step ? a.h + before : a.h0;
    const float* c_prev = step ? a.c + before : a.c0;
    for (int64_t p = 0; p < panels; ++p) {
      in_parts<Cell::kLanes>(from, to, [&](int64_t b, auto count, int64_t q, int64_t parts) {
        constexpr int M = decltype(count)::value;
        V acc[M][R];
        for (int m = 0; m < M; ++m)
          for (int r = 0; r < R; ++r) acc[m][r] = load(a.b + column(p, r));
        const float* next = packed.after(p, q, parts);
        product<M, R>(h_prev + b * H, H, H, packed.at(p), acc, next, packed.ahead(parts));
        for (int m = 0; m < M; ++m)
          for (int n = 0; n < NB; ++n) {
            V r[kGates];
            for (int g = 0; g < kGates; ++g) r[g] = acc[m][g * NB + n];
            const int64_t unit = (p * NB + n) * N, own = (b + m) * H + unit;
            const At here{at + b + m, unit, H};
            if (a.exists(here.lane)) {
              Cell::forward(a, here, h_prev + own, c_prev + own, r);
            } else {  // a step that does not exist copies the carry
              store(a.h + here.plain(), load(h_prev + own));
              store(a.c + here.plain(), load(c_prev + own));
            }
          }
      });
    }
  }
}

// h_bar and c_bar come in as the bars of the last carry and go out as those of the first.
template <class Cell, int R>
void backward_lanes(const Arrays& a, Loop loop, int64_t from, int64_t to) {
  const int64_t H = loop.H, G = Cell::kGates * H, panels = H / (N * R);
  const float* r_bars = a.r_bar ? a.r_bar : a.z_bar;
  Panels packed(panels, G, R);  // of W transposed
  for (int64_t p = 0; p < panels; ++p)
    for (int64_t block = 0; block < G; block += N)
      for (int64_t u = 0; u < R * N; ++u)
        for (int64_t g = block; g < block + N; ++g)
          packed.at(p)[g * R * N + u] = a.W[(p * R * N + u) * G + g];
  for (int64_t step = loop.T - 1; step >= 0; --step) {
    const int64_t at = loop.time(step) * loop.B, before = loop.time(step - 1) * loop.B * H;
    const float* h_prev = step ? a.h + before : a.h0;
    const float* c_prev = step ? a.c + before : a.c0;
    for (int64_t b = from; b < to; ++b) {
      if (!a.exists(at + b)) {  // the bars pass by, for without r_bar the product adds nothing
        std::memset(a.z_bar + (at + b) * G, 0, G * sizeof(float));
        if (a.r_bar) std::memset(a.r_bar + (at + b) * G, 0, G * sizeof(float));
        continue;
      }
      for (int64_t unit = 0; unit < H; unit += N) {
        const int64_t own = b * H + unit;
        const At here{at + b, unit, H};
        Cell::backward(a, here, h_prev + own, c_prev + own, a.h_bar + own, a.c_bar + own);
      }
    }
    for (int64_t p = 0; p < panels; ++p) {
      in_parts<6>(from, to, [&](int64_t b, auto count, int64_t q, int64_t parts) {
        constexpr int M = decltype(count)::value;
        float* bar = a.h_bar + b * H + p * R * N;
        V acc[M][R];
        for (int m = 0; m < M; ++m)
          for (int r = 0; r < R; ++r) acc[m][r] = load(bar + m * H + r * N);
        const float* next = packed.after(p, q, parts);
        product<M, R>(r_bars + (at + b) * G, G, G, packed.at(p), acc, next, packed.ahead(parts));
        for (int m = 0; m < M; ++m)
          for (int r = 0; r < R; ++r) store(bar + m * H + r * N, acc[m][r]);
      });
    }
  }
}
