// Server: a page on localhost, where one draws for a model and sees what it says, and where one
// watches training. docs/serve.md has its routes and what it refuses.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nn/callbacks.hpp"
#include "nn/model.hpp"

namespace weft {

struct ServerOptions {
  std::string host = "127.0.0.1";  ///< address, or name ("localhost" is 127.0.0.1); 0.0.0.0: any
  int port = 8000;                 ///< 0: any that is free
  double scale = 1.0 / 255;        ///< from pixels, 0 to 255, to what the model takes
  std::vector<std::string> classes{};  ///< names of the model's outputs; none: 0, 1, ...
};

/// Answers in threads of its own between start() and stop(). What it shows may be changed from any
/// thread.
class Server {
 public:
  /// Of a page that shows training.
  explicit Server(ServerOptions options = {});
  /// Of a page to draw for a model.
  ///   throws  ArgumentError for a model that has not one input and one output, and for another
  ///           number of classes than it has; Error if the input's shape is not known
  explicit Server(nn::Model model, ServerOptions options = {});
  /// Stops.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Throws IoError if it cannot listen there, saying where.
  void start();
  /// Lets those who are being answered have their answer. After finish(), first waits until the
  /// pages that asked lately know that training is over, for 3 seconds at most.
  void stop();
  int port() const;         ///< where it listens; 0 before start()
  std::string url() const;  ///< "http://127.0.0.1:8000/"

  // What the page shows of training. Epochs count from 0.

  /// The numbers of an epoch that is done; of an epoch that was there, they take its place.
  void publish(int epoch, const nn::Logs& logs);
  /// Means over an epoch that goes on.
  void progress(int epoch, std::int64_t batch, const nn::Logs& logs);
  /// Training is over, until an epoch comes.
  void finish();
  /// A drawing, as SVG; "": none.
  void set_drawing(std::string svg);
  bool has_drawing() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Shows what fit does on a server's page, which must live as long: numbers several times a second,
/// and the model's drawing, if the server has none yet.
nn::Callback live(Server& server);

/// Model::draw as text; "" if Graphviz is not installed.
std::string svg_of(nn::Model& model);

}  // namespace weft
