#include "runtime/profile.hpp"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <dnnl.hpp>
#include <map>
#include <mutex>
#include <numeric>

#include "graph/error.hpp"
#include "runtime/parallel.hpp"

namespace weft {
namespace {

double least_seconds(int times, const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  double least = 0;
  for (int i = 0; i <= times; ++i) {
    const auto start = Clock::now();
    work();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (i == 1 || (i > 1 && seconds < least)) least = seconds;  // the first only warms up
  }
  return least;
}

MachineLimits measure(int thread_count) {
  const ThreadCount threads(thread_count);
  constexpr dnnl::memory::dim n = 1024;
  std::vector<float> a(n * n, 1.0f), b(n * n, 1.0f), c(n * n);
  const double product = least_seconds(
      4, [&] { dnnl::sgemm('N', 'N', n, n, n, 1, a.data(), n, b.data(), n, 0, c.data(), n); });
  constexpr std::size_t length = std::size_t{1} << 24;  // 64 MiB each
  std::vector<float> x(length), y(length, 1.0f), z(length, 2.0f);
  const double triad = least_seconds(4, [&] {
    parallel_for(length, 1, [&](std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last; ++i) x[i] = y[i] + 3.0f * z[i];
    });
  });
  return {2.0 * n * n * n / product, 3.0 * sizeof(float) * length / triad};
}

std::string row(const Executable::StepTime& step, double limit) {
  const double calls = static_cast<double>(std::max<std::size_t>(step.calls, 1));
  const auto microseconds = [](double seconds) { return fmt::format("{:.1f}", seconds * 1e6); };
  return fmt::format("{:>10} {:>10} {:>10} {:>10}  {:<44} {}\n", microseconds(step.seconds / calls),
                     microseconds(step.least), step.alone > 0 ? microseconds(step.alone) : "-",
                     microseconds(limit), step.label, step.detail);
}

}  // namespace

MachineLimits machine_limits(int threads) {
  if (threads < 1)
    fail<ArgumentError>("machine_limits: threads must be at least 1, not {}", threads);
  static std::mutex mutex;
  static std::map<int, MachineLimits> known;
  const std::lock_guard lock(mutex);
  const auto [entry, is_new] = known.try_emplace(threads);
  if (is_new) entry->second = measure(threads);
  return entry->second;
}

std::string profile(Executable& executable, int runs) {
  if (runs < 1) fail<ArgumentError>("profile: runs must be at least 1, not {}", runs);
  const auto& statistics = executable.statistics();
  const auto replicas = static_cast<double>(statistics.replicas);
  const MachineLimits own = machine_limits(statistics.threads);
  const MachineLimits all =
      machine_limits(statistics.threads * static_cast<int>(statistics.replicas));
  executable.step();
  executable.profile(false);
  executable.profile(true);
  for (int i = 0; i < runs; ++i) executable.step();
  executable.profile(false);
  std::vector<Executable::StepTime> steps = executable.profile_steps(true);
  std::erase_if(steps, [](const auto& step) { return step.calls == 0; });
  std::ranges::stable_sort(steps,
                           [](const auto& a, const auto& b) { return a.seconds > b.seconds; });

  std::string table = fmt::format("{:>10} {:>10} {:>10} {:>10}  {}\n", "mean us", "least us",
                                  "alone us", "limit us", "step, and what runs it");
  struct Sum {
    Executable::StepTime times{.calls = 1};
    double limit = 0;
    std::size_t steps = 0;
    void add(const Executable::StepTime& step, double step_limit) {
      times.seconds += step.seconds / static_cast<double>(step.calls);
      times.least += step.least;
      times.alone += step.alone > 0 ? step.alone : step.least;
      limit += step_limit;
      ++steps;
    }
  } sum, rest;
  const double whole = std::accumulate(steps.begin(), steps.end(), 0.0,
                                       [](double s, const auto& t) { return s + t.seconds; });
  constexpr double worth_a_line = 0.002;  // of the whole
  for (const auto& step : steps) {
    const double limit = std::max(step.flops / own.flops, step.bytes / (all.bytes / replicas));
    sum.add(step, limit);
    if (step.seconds < worth_a_line * whole) {
      rest.add(step, limit);
    } else {
      table += row(step, limit);
    }
  }
  rest.times.label = fmt::format("{} smaller steps", rest.steps);
  sum.times.label = "all of it";
  if (rest.steps > 0) table += row(rest.times, rest.limit);
  return table + row(sum.times, sum.limit) +
         fmt::format("of {} replicas x {} threads; {:.0f} GFLOP/s and {:.1f} GB/s for each\n",
                     statistics.replicas, statistics.threads, own.flops * 1e-9,
                     all.bytes / replicas * 1e-9);
}

}  // namespace weft
