// What XLA calls: the loops of loops.h over lanes and models, shared among the CPU's threads.
//
// Buffers have the shapes of rnn_jax/native/loops.py; any leading axes are models side by side.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "loops.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

// Below this many multiplications a second thread costs more to wake than it brings.
constexpr int64_t kWorthAThread = 2'000'000;

// work(0) ... work(count - 1), on the pool's threads and on the caller's, who never waits for what
// nobody has begun: the pool's threads may all be callers like it.
template <class Work>
void share(ffi::ThreadPool& pool, int64_t count, const Work& work) {
  struct State {
    std::atomic<int64_t> next{0};
    int64_t done = 0;
    std::mutex mutex;
    std::condition_variable all;
  };
  auto state = std::make_shared<State>();
  auto take = [state, count, &work] {
    for (int64_t i; (i = state->next.fetch_add(1)) < count;) {
      work(i);
      std::lock_guard<std::mutex> lock(state->mutex);
      if (++state->done == count) state->all.notify_all();
    }
  };
  for (int64_t i = 1; i < count; ++i) pool.Schedule(decltype(take)(take));
  take();
  std::unique_lock<std::mutex> lock(state->mutex);
  state->all.wait(lock, [&] { return state->done == count; });
}

using Args = ffi::RemainingArgs;
using Rets = ffi::RemainingRets;

float* in(Args& args, size_t i, int64_t model) {
  auto buffer = args.get<ffi::AnyBuffer>(i).value();
  return static_cast<float*>(buffer.untyped_data()) + model;
}

// The mask after `count` other arguments, if it was given.
const uint8_t* mask(Args& args, size_t count, int64_t model) {
  if (args.size() == count) return nullptr;
  return static_cast<uint8_t*>(args.get<ffi::AnyBuffer>(count).value().untyped_data()) + model;
}

float* out(Rets& rets, size_t i, int64_t model) {
  return static_cast<float*>((**rets.get<ffi::AnyBuffer>(i)).untyped_data()) + model;
}

// Result j begins as argument i, whose buffer it usually is.
void begin_as(Args& args, size_t i, Rets& rets, size_t j) {
  const float* from = in(args, i, 0);
  float* to = out(rets, j, 0);
  if (from != to) std::memcpy(to, from, args.get<ffi::AnyBuffer>(i)->size_bytes());
}

// How the work of a call is dealt out: for each model and each share of its lanes.
struct Plan {
  Loop loop;
  int64_t models, shares;

  Plan(ffi::ThreadPool& pool, ffi::AnyBuffer W, ffi::AnyBuffer z, bool reverse) {
    const auto shape = z.dimensions();
    const size_t rank = shape.size();
    const int64_t H = W.dimensions()[W.dimensions().size() - 2];
    loop = {shape[rank - 3], shape[rank - 2], H, reverse};
    const int64_t model = loop.T * loop.B * shape[rank - 1];
    models = model ? z.element_count() / model : 0;
    const int64_t threads = std::max<int64_t>(pool.num_threads(), 1);
    const bool alone = models >= threads || model * H < kWorthAThread;
    shares = alone ? 1 : std::clamp<int64_t>(threads / models, 1, loop.B);
  }

  template <class Lanes>
  void run(ffi::ThreadPool& pool, const Lanes& lanes) const {
    share(pool, models * shares, [&](int64_t i) {
      const int64_t s = i % shares, B = loop.B;
      lanes(i / shares, B * s / shares, B * (s + 1) / shares);
    });
  }
};

// Arguments W, b, h_0, [c_0], z and, where steps are missing, the mask; results of tanh: h over z; of GRU: h, gates over z, extra; of
// LSTM: h, c, gates over z, extra.
template <class Cell>
ffi::Error Forward(ffi::ThreadPool pool, bool reverse, Args args, Rets rets) {
  constexpr bool lstm = Cell::kGates == 4, gated = Cell::kGates > 1;
  const int z = lstm ? 4 : 3, over_z = lstm ? 2 : gated ? 1 : 0;
  begin_as(args, z, rets, over_z);
  const Plan plan(pool, *args.get<ffi::AnyBuffer>(0), *args.get<ffi::AnyBuffer>(z), reverse);
  const int64_t H = plan.loop.H, G = Cell::kGates * H, TB = plan.loop.T * plan.loop.B;
  plan.run(pool, [&](int64_t model, int64_t from, int64_t to) {
    Arrays a{};
    a.W = in(args, 0, model * H * G);
    a.b = in(args, 1, model * G);
    a.h0 = in(args, 2, model * plan.loop.B * H);
    a.h = out(rets, 0, model * TB * H);
    a.c0 = lstm ? in(args, 3, model * plan.loop.B * H) : a.h0;
    a.c = lstm ? out(rets, 1, model * TB * H) : a.h;
    if (gated) a.gates = out(rets, over_z, model * TB * G);
    if (gated) a.extra = out(rets, lstm ? 3 : 2, model * TB * H);
    a.mask = mask(args, z + 1, model * TB);
    if (H % (N * Cell::kBlocks) == 0)
      forward_lanes<Cell, Cell::kBlocks>(a, plan.loop, from, to);
    else
      forward_lanes<Cell, 1>(a, plan.loop, from, to);
  });
  return ffi::Error::Success();
}

// Arguments W, y_bar, h_bar, [c_bar], h, h_0, [c, c_0], of gated cells extra and gates, and where
// steps are missing the mask; results h_bar, [c_bar], z_bar (over gates), and of the GRU r_bar.
template <class Cell>
ffi::Error Backward(ffi::ThreadPool pool, bool reverse, Args args, Rets rets) {
  constexpr bool lstm = Cell::kGates == 4, gated = Cell::kGates > 1;
  const int h = lstm ? 4 : 3, c = 6, extra = lstm ? 8 : 5, z_bar = lstm ? 2 : 1;
  begin_as(args, 2, rets, 0);
  if (lstm) begin_as(args, 3, rets, 1);
  const Plan plan(pool, *args.get<ffi::AnyBuffer>(0), **rets.get<ffi::AnyBuffer>(z_bar), reverse);
  const int64_t H = plan.loop.H, G = Cell::kGates * H, B = plan.loop.B, TB = plan.loop.T * B;
  plan.run(pool, [&](int64_t model, int64_t from, int64_t to) {
    Arrays a{};
    a.W = in(args, 0, model * H * G);
    a.y_bar = in(args, 1, model * TB * H);
    a.h = in(args, h, model * TB * H);
    a.h0 = in(args, h + 1, model * B * H);
    a.c = lstm ? in(args, c, model * TB * H) : a.h;
    a.c0 = lstm ? in(args, c + 1, model * B * H) : a.h0;
    if (gated) a.extra = in(args, extra, model * TB * H);
    if (gated) a.gates = in(args, extra + 1, model * TB * G);
    a.h_bar = out(rets, 0, model * B * H);
    a.c_bar = lstm ? out(rets, 1, model * B * H) : a.h_bar;
    a.z_bar = out(rets, z_bar, model * TB * G);
    if (Cell::kGates == 3) a.r_bar = out(rets, 2, model * TB * G);
    a.mask = mask(args, gated ? extra + 2 : extra, model * TB);
    if (H % (4 * N) == 0)
      backward_lanes<Cell, 4>(a, plan.loop, from, to);
    else
      backward_lanes<Cell, 1>(a, plan.loop, from, to);
  });
  return ffi::Error::Success();
}

}  // namespace

#define LOOP(name, function)                                  \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(name, function,               \
                                ffi::Ffi::Bind()              \
                                    .Ctx<ffi::ThreadPool>()   \
                                    .Attr<bool>("reverse")    \
                                    .RemainingArgs()          \
                                    .RemainingRets())

LOOP(tanh_forward, Forward<Tanh>);
LOOP(tanh_backward, Backward<Tanh>);
LOOP(gru_forward, Forward<Gru>);
LOOP(gru_backward, Backward<Gru>);
LOOP(lstm_forward, Forward<Lstm>);
LOOP(lstm_backward, Backward<Lstm>);
