// TrainingRecord: what /history.json says of training, and which pages have heard its end.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "nn/history.hpp"

namespace weft {

/// All may be called from any thread.
class TrainingRecord {
 public:
  /// patience  how long a page counts after it asked, and how long the end waits for those; pages
  ///           ask each second
  explicit TrainingRecord(std::chrono::milliseconds patience = std::chrono::seconds(3));

  // As Server's.
  void publish(int epoch, const nn::Logs& logs);
  void progress(int epoch, std::int64_t batch, const nn::Logs& logs);
  void finish();
  void set_drawing(std::string svg);
  std::string drawing() const;

  struct Answer {
    std::string etag, text;  ///< the text is JSON; "" if the client knows it
  };
  /// To a client that knows the answer of that ETag, or none.
  ///   page  the name of a page that asks again and again; "": none
  Answer answer(std::string_view page, std::string_view known_etag);

  /// If training is over, waits until the pages that asked lately have come back with the ETag of
  /// the last answer.
  void wait_until_heard();

 private:
  using Clock = std::chrono::steady_clock;
  /// Keeps loss before accuracy. Too slow for what others send, with any number of names.
  using Json = nlohmann::ordered_json;
  enum class State { waiting, training, over };
  struct Visit {
    Clock::time_point time;
    std::uint64_t version;  // that the page knows; 0: not the one that it asked for
  };

  // The caller holds the mutex.
  void change(State state);
  std::string etag() const;
  void note_visit(std::string_view page, bool is_current);
  std::string rendered() const;

  const std::chrono::milliseconds patience_;
  mutable std::mutex mutex_;  // of all that follows
  std::condition_variable heard_;
  std::string tag_;
  std::uint64_t version_ = 1;
  State state_ = State::waiting;
  std::map<int, Json> epochs_;
  Json now_ = nullptr;
  int drawings_ = 0;  // how often it changed; 0: there is none
  std::string drawing_;
  std::string text_;                     // of this version; "": nobody has asked for it yet
  std::map<std::size_t, Visit> visits_;  // by the hash of the page's name
};

}  // namespace weft
