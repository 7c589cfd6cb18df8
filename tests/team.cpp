// Team: threads, barriers, failures. This file and runtime/team.cpp alone also make a program that
// CI runs under ThreadSanitizer (tests/CMakeLists.txt).
#include "runtime/team.hpp"

#include <doctest/doctest.h>
#include <omp.h>
#include <sched.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

namespace weft {
namespace {

TEST_CASE("team: everyone runs, and a barrier is passed by all or none") {
  for (const std::size_t size : {1, 2, 3, 5}) {
    Team team(size);
    CHECK(team.size() == size);
    std::atomic<std::size_t> before{0};
    std::atomic<bool> good{true};
    for (int round = 0; round < 200; ++round) {
      before = 0;
      team.run(1, [&](std::size_t) {
        ++before;
        team.barrier();
        if (before != size) good = false;
        team.barrier();
        --before;
        team.barrier();
        if (before != 0) good = false;
      });
    }
    CHECK(good);
  }
}

TEST_CASE("team: a failure lets the others go and reaches the caller") {
  Team team(3);
  for (const std::size_t bad : {0, 1, 2}) {
    CHECK_THROWS_WITH_AS(team.run(1,
                                  [&](std::size_t replica) {
                                    if (replica == bad) throw std::runtime_error("no");
                                    team.barrier();
                                    team.barrier();
                                  }),
                         "no", std::runtime_error);
  }
  std::atomic<int> ran{0};
  team.run(1, [&](std::size_t) {
    team.barrier();
    ++ran;
  });
  CHECK(ran == 3);
}

TEST_CASE("team: what one replica writes before a barrier, all read behind it") {
  // Plain numbers, no atomics: only the barrier stands between writers and readers.
  constexpr std::size_t size = 4;
  Team team(size);
  std::vector<int> written(size), sums(size);
  for (int round = 1; round <= 300; ++round) {
    team.run(1, [&](std::size_t replica) {
      for (int phase = 0; phase < 3; ++phase) {
        written[replica] = round * static_cast<int>(replica + 1) + phase;
        team.barrier();
        sums[replica] = std::accumulate(written.begin(), written.end(), 0);
        team.barrier();
      }
    });
    // And behind run(), the caller reads what all have written.
    for (const int sum : sums) REQUIRE(sum == round * 10 + 8);
  }
}

TEST_CASE("team: two that want the same one take turns") {
  const auto team = Team::of(2);
  CHECK(Team::of(2) == team);
  std::vector<std::thread> users;
  std::vector<long> totals(3);
  for (long& total : totals) {
    users.emplace_back([&total] {
      long parts[2] = {0, 0};
      for (int round = 0; round < 200; ++round) {
        Team::of(2)->run(1, [&](std::size_t replica) {
          parts[replica] += static_cast<long>(replica) + 1;
          Team::of(2)->barrier();
          if (replica == 0) total += parts[0] + parts[1];
        });
      }
    });
  }
  for (std::thread& user : users) user.join();
  for (const long total : totals) CHECK(total == 3 * 200 * 201 / 2);
}

TEST_CASE("team: each replica has the threads it is given, and the caller keeps its own") {
  Team team(2);
  const int before = omp_get_max_threads();
  for (const int each : {1, 3}) {
    std::vector<int> seen(2);
    team.run(each, [&](std::size_t replica) { seen[replica] = omp_get_max_threads(); });
    CHECK(seen == std::vector<int>{each, each});
    CHECK(omp_get_max_threads() == before);
  }
}

TEST_CASE("team: pinned replicas stay on cores of their own that the process may use") {
  cpu_set_t allowed;
  REQUIRE(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  for (const std::size_t size : {2, 3}) {
    Team team(size, true);
    std::vector<cpu_set_t> sets(size);
    team.run(1, [&](std::size_t replica) {
      sched_getaffinity(0, sizeof sets[replica], &sets[replica]);
    });
    const bool enough = CPU_COUNT(&allowed) >= static_cast<int>(size);
    cpu_set_t all;
    CPU_ZERO(&all);
    for (const cpu_set_t& set : sets) {
      CHECK(CPU_COUNT(&set) == (enough ? 1 : CPU_COUNT(&allowed)));
      CPU_OR(&all, &all, &set);
    }
    if (enough) CHECK(CPU_COUNT(&all) == static_cast<int>(size));
    cpu_set_t outside;  // what is not allowed
    CPU_XOR(&outside, &all, &allowed);
    CPU_AND(&outside, &outside, &all);
    CHECK(CPU_COUNT(&outside) == 0);
    cpu_set_t after;
    sched_getaffinity(0, sizeof after, &after);
    CHECK(CPU_EQUAL(&after, &allowed));  // the caller's thread is let go again
  }
}

}  // namespace
}  // namespace weft
