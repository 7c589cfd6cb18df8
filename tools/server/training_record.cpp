#include "tools/server/training_record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <random>
#include <utility>

namespace weft {
namespace {

/// More pages than that are none that somebody looks at.
constexpr std::size_t most_pages = 1000;

nlohmann::ordered_json json_of(const nn::Logs& logs) {
  auto json = nlohmann::ordered_json::object();
  for (const auto& [name, value] : logs) json[name] = value;  // what is not finite is written null
  return json;
}

}  // namespace

TrainingRecord::TrainingRecord(std::chrono::milliseconds patience) : patience_(patience) {
  // A page that knows an earlier server's numbers must not take them for this one's.
  tag_ = fmt::format("{:08x}", std::random_device()());
}

void TrainingRecord::publish(int epoch, const nn::Logs& logs) {
  const std::lock_guard lock(mutex_);
  epochs_[epoch] = json_of(logs);
  now_ = nullptr;
  change(State::training);
}

void TrainingRecord::progress(int epoch, std::int64_t batch, const nn::Logs& logs) {
  const std::lock_guard lock(mutex_);
  now_ = {{"epoch", epoch + 1}, {"batch", batch + 1}, {"logs", json_of(logs)}};
  change(State::training);
}

void TrainingRecord::finish() {
  const std::lock_guard lock(mutex_);
  now_ = nullptr;
  change(State::over);
}

void TrainingRecord::set_drawing(std::string svg) {
  const std::lock_guard lock(mutex_);
  drawing_ = std::move(svg);
  drawings_ = drawing_.empty() ? 0 : drawings_ + 1;
  change(state_);
}

std::string TrainingRecord::drawing() const {
  const std::lock_guard lock(mutex_);
  return drawing_;
}

TrainingRecord::Answer TrainingRecord::answer(std::string_view page, std::string_view known_etag) {
  const std::lock_guard lock(mutex_);
  Answer answer{etag(), ""};
  const bool is_current = known_etag == answer.etag;
  if (!page.empty()) note_visit(page, is_current);
  if (is_current) return answer;
  if (text_.empty()) text_ = rendered();
  answer.text = text_;
  return answer;
}

void TrainingRecord::wait_until_heard() {
  std::unique_lock lock(mutex_);
  if (state_ != State::over) return;
  const auto since = Clock::now() - patience_;
  heard_.wait_for(lock, patience_, [&] {
    return std::ranges::all_of(visits_, [&](const auto& entry) {
      return entry.second.time < since || entry.second.version == version_;
    });
  });
}

void TrainingRecord::change(State state) {
  state_ = state;
  ++version_;
  text_.clear();
}

std::string TrainingRecord::etag() const { return fmt::format("\"{}-{}\"", tag_, version_); }

void TrainingRecord::note_visit(std::string_view page, bool is_current) {
  const auto now = Clock::now();
  std::erase_if(visits_, [&](const auto& entry) { return entry.second.time < now - patience_; });
  const std::size_t key = std::hash<std::string_view>()(page);
  if (visits_.size() >= most_pages && !visits_.contains(key)) return;
  visits_[key] = {now, is_current ? version_ : 0};
  if (is_current) heard_.notify_all();
}

std::string TrainingRecord::rendered() const {
  static constexpr const char* states[] = {"waiting", "training", "over"};
  Json epochs = Json::array();
  for (const auto& [epoch, logs] : epochs_) {
    epochs.push_back({{"epoch", epoch + 1}, {"logs", logs}});
  }
  const Json all{{"state", states[static_cast<int>(state_)]},
                 {"epochs", std::move(epochs)},
                 {"now", now_},
                 {"drawing", drawings_}};
  // Names that are no UTF-8 must not end the program.
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace weft
