// live: the callback that tells a Server what fit does.
#include <chrono>
#include <memory>

#include "tools/server/server.hpp"

namespace weft {

nn::Callback live(Server& server) {
  using Clock = std::chrono::steady_clock;
  constexpr static std::chrono::milliseconds pause(250);
  struct State {
    int epoch = 0;
    Clock::time_point next{};
  };
  const auto state = std::make_shared<State>();
  nn::Callback callback;
  callback.on_train_begin = [&server](nn::Model& model) {
    if (!server.has_drawing()) server.set_drawing(svg_of(model));
    if (!model.resume) return;
    const nn::History& before = model.resume->history;
    for (const int epoch : before.epoch) server.publish(epoch, before.logs(epoch));
  };
  callback.on_epoch_begin = [state](nn::Model&, int epoch) { state->epoch = epoch; };
  callback.on_train_batch_end = [&server, state](nn::Model&, std::int64_t batch, nn::Logs& logs) {
    const auto now = Clock::now();
    if (now < state->next) return;
    server.progress(state->epoch, batch, logs);
    state->next = now + pause;
  };
  callback.on_epoch_end = [&server](nn::Model&, int epoch, nn::Logs& logs) {
    server.publish(epoch, logs);
  };
  callback.on_train_end = [&server](nn::Model&, nn::Logs&) { server.finish(); };
  return callback;
}

}  // namespace weft
