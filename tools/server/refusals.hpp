// What clients may not do. Other sites' pages can make a browser send requests to this machine, and
// can have their names led to it; they shall get no answer.
#pragma once

#include <fmt/format.h>
#include <httplib.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace weft {

/// What the client did wrong, by HTTP's number for it.
struct Refusal : std::runtime_error {
  Refusal(int refusal_status, const std::string& what)
      : std::runtime_error(what), status(refusal_status) {}
  int status;
};

template <class... Args>
[[noreturn]] void refuse(int status, fmt::format_string<Args...> format, Args&&... args) {
  throw Refusal(status, fmt::format(format, std::forward<Args>(args)...));
}

// Each throws Refusal.

/// One Host header, with a name of the server that listens at `host` and says that it is at `url`.
void expect_own_host(const httplib::Request& request, std::string_view host, std::string_view url);
/// A body of a known length, which httplib holds to the limit, and not to be unpacked.
void expect_plain_body(const httplib::Request& request);
/// A body of JSON, and if a page sends it, one of this server's. (A page elsewhere may not send
/// this type without asking, and nobody answers that it may.)
void expect_own_page(const httplib::Request& request);

}  // namespace weft
