#include "cli/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace cli {
namespace {

void print_lines(std::string_view prefix, std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    fmt::print(stderr, "{}{}\n", prefix, text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
}

}  // namespace

void print_error(std::string_view text) { print_lines("occlum: error: ", text); }
void print_warning(std::string_view text) { print_lines("occlum: warning: ", text); }
void print_notice(std::string_view text) { print_lines("occlum: ", text); }

Progress::Progress(bool verbose) : terminal_(::isatty(STDERR_FILENO) == 1), verbose_(verbose) {}

Progress::~Progress() { done(); }

void Progress::step(std::string_view text) {
  if (verbose_) {
    fmt::print(stderr, "{}\n", text);
  } else if (terminal_) {
    fmt::print(stderr, "\r\x1b[K{} ...", text);
    std::fflush(stderr);
    shown_ = true;
  }
}

void Progress::done() {
  if (!shown_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  shown_ = false;
}

}  // namespace cli
