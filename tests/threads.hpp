// For tests in which several threads do something at the same time.
#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace weft::test {

/// Calls work(0), ..., work(count - 1), each in a thread of its own, when all are ready; returns
/// when all are done. An exception in one ends the program, as it should in a test.
inline void in_threads(int count, const std::function<void(int)>& work) {
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      ++ready;
      while (ready != count) std::this_thread::yield();
      work(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace weft::test
