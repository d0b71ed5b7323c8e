// The gates: what happens in one time step between the two products, forward and backward, as the
// equations of rnn_jax/cells say it. z, gates and their bars are [.., G]: a gate's units lie H apart.
#pragma once

#include "vectors.h"

// All arrays of one model, each [T, B, ...] but W [H, G], b [G] and h0, c0, h_bar, c_bar [B, H].
// mask: 0 where a step does not exist; null where all do.
struct Arrays {
  const float *W, *b, *h0, *c0, *y_bar;
  float *h, *c, *gates, *extra, *h_bar, *c_bar, *z_bar, *r_bar;
  const uint8_t* mask;
  bool exists(int64_t lane) const { return !mask || mask[lane]; }
};

// Where a vector of units stands: lane is (t B + b), prev the h or c of the step before.
struct At {
  int64_t lane, unit, H;
  int64_t plain() const { return lane * H + unit; }
};

// h = tanh(z + r); z lies where h will.
struct Tanh {
  static constexpr int kGates = 1, kBlocks = 4, kLanes = 6;
  static INLINE void forward(const Arrays& a, At at, const float*, const float*, const V* r) {
    store(a.h + at.plain(), tanh(load(a.h + at.plain()) + r[0]));
  }
  static INLINE void backward(const Arrays& a, At at, const float*, const float*, float* h_bar,
                              float*) {
    const V h = load(a.h + at.plain()), bar = load(h_bar) + load(a.y_bar + at.plain());
    store(a.z_bar + at.plain(), bar * (1.0f - h * h));
    store(h_bar, V{});
  }
};

// Gates reset, update, candidate; extra is the candidate's product, which reset multiplies.
struct Gru {
  static constexpr int kGates = 3, kBlocks = 1, kLanes = 8;
  static INLINE void forward(const Arrays& a, At at, const float* h_prev, const float*, const V* r) {
    float* g = a.gates + at.lane * kGates * at.H + at.unit;
    const V reset = sigmoid(load(g) + r[0]), update = sigmoid(load(g + at.H) + r[1]);
    const V n = tanh(load(g + 2 * at.H) + reset * r[2]);
    store(g, reset);
    store(g + at.H, update);
    store(g + 2 * at.H, n);
    store(a.extra + at.plain(), r[2]);
    store(a.h + at.plain(), n + update * (load(h_prev) - n));
  }
  static INLINE void backward(const Arrays& a, At at, const float* h_prev, const float*,
                              float* h_bar, float*) {
    const int64_t g = at.lane * kGates * at.H + at.unit, H = at.H;
    const V reset = load(a.gates + g), update = load(a.gates + g + H);
    const V n = load(a.gates + g + 2 * H), bar = load(h_bar) + load(a.y_bar + at.plain());
    const V n_bar = bar * (1.0f - update) * (1.0f - n * n);
    const V u_bar = bar * (load(h_prev) - n) * update * (1.0f - update);
    const V r_bar = n_bar * load(a.extra + at.plain()) * reset * (1.0f - reset);
    store(a.z_bar + g, r_bar);
    store(a.r_bar + g, r_bar);
    store(a.z_bar + g + H, u_bar);
    store(a.r_bar + g + H, u_bar);
    store(a.z_bar + g + 2 * H, n_bar);
    store(a.r_bar + g + 2 * H, n_bar * reset);
    store(h_bar, bar * update);
  }
};

// Gates i, f, g, o; extra is tanh(c).
struct Lstm {
  static constexpr int kGates = 4, kBlocks = 1, kLanes = 6;
  static INLINE void forward(const Arrays& a, At at, const float*, const float* c_prev, const V* r) {
    const int64_t H = at.H;
    float* s = a.gates + at.lane * kGates * H + at.unit;
    const V i = sigmoid(load(s) + r[0]), f = sigmoid(load(s + H) + r[1]);
    const V g = tanh(load(s + 2 * H) + r[2]), o = sigmoid(load(s + 3 * H) + r[3]);
    const V c = f * load(c_prev) + i * g, tanh_c = tanh(c);
    store(s, i);
    store(s + H, f);
    store(s + 2 * H, g);
    store(s + 3 * H, o);
    store(a.c + at.plain(), c);
    store(a.extra + at.plain(), tanh_c);
    store(a.h + at.plain(), o * tanh_c);
  }
  static INLINE void backward(const Arrays& a, At at, const float*, const float* c_prev,
                              float* h_bar, float* c_bar) {
    const int64_t H = at.H, s = at.lane * kGates * H + at.unit;
    const V i = load(a.gates + s), f = load(a.gates + s + H), g = load(a.gates + s + 2 * H);
    const V o = load(a.gates + s + 3 * H), tanh_c = load(a.extra + at.plain());
    const V bar = load(h_bar) + load(a.y_bar + at.plain());
    const V cell = load(c_bar) + bar * o * (1.0f - tanh_c * tanh_c);
    store(a.z_bar + s, cell * g * i * (1.0f - i));
    store(a.z_bar + s + H, cell * load(c_prev) * f * (1.0f - f));
    store(a.z_bar + s + 2 * H, cell * i * (1.0f - g * g));
    store(a.z_bar + s + 3 * H, bar * tanh_c * o * (1.0f - o));
    store(c_bar, cell * f);
    store(h_bar, V{});
  }
};
