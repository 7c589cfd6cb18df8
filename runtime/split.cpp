#include "runtime/split.hpp"

#include <algorithm>
#include <chrono>

#include "graph/error.hpp"
#include "runtime/tuning.hpp"

namespace weft {

std::vector<Split> suitable_splits(std::int64_t rows, int threads) {
  constexpr std::int64_t enough_rows = 8;  // fewer do not keep a core busy between two meetings
  if (threads <= 1 || rows <= 1) return {{1, std::max(threads, 1)}};
  if (rows >= enough_rows * threads) return {{static_cast<std::size_t>(threads), 1}};
  std::vector<Split> splits;
  for (int each = 1; each <= threads; ++each) {
    const int replicas = threads / each;
    if (threads % each == 0 && replicas <= rows) {
      splits.push_back({static_cast<std::size_t>(replicas), each});
    }
  }
  return splits;
}

RowRange slice_of(std::int64_t rows, std::size_t replicas, std::size_t replica) {
  const auto count = static_cast<std::int64_t>(replicas), r = static_cast<std::int64_t>(replica);
  const std::int64_t less = rows / count, larger = rows % count;
  return {r * less + std::min(r, larger), less + (r < larger ? 1 : 0)};
}

std::string to_string(const Split& split) {
  return fmt::format("{}x{}", split.replicas, split.threads);
}

Split fastest(const std::string& key, const std::vector<Split>& candidates,
              const std::function<double(const Split&)>& seconds) {
  if (candidates.size() == 1) return candidates[0];
  static Tuning measured{""};  // nobody has asked for a file
  std::vector<std::string> names;
  for (const Split& split : candidates) names.push_back(to_string(split));
  return candidates[measured.fastest(key, names,
                                     [&](std::size_t i) { return seconds(candidates[i]); })];
}

double seconds_of(Executable& executable) {
  using Clock = std::chrono::steady_clock;
  constexpr int least_runs = 3, most_runs = 20;
  constexpr double long_enough = 0.02;
  executable.step();  // the first run pays for pages and threads
  double least = 0, all = 0;
  for (int run = 0; run < least_runs || (run < most_runs && all < long_enough); ++run) {
    const auto start = Clock::now();
    executable.step();
    const double took = std::chrono::duration<double>(Clock::now() - start).count();
    least = run == 0 ? took : std::min(least, took);
    all += took;
  }
  return least;
}

}  // namespace weft
