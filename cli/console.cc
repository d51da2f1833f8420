#include "cli/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "image/files.h"

namespace cli {
namespace {

// Standard error may be closed or full: nothing more can be said then, but the work goes on.
void write_stderr(const std::string& text) {
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
  static_cast<void>(std::fflush(stderr));
}

void print_line(std::string_view prefix, std::string_view text) { write_stderr(fmt::format("{}{}\n", prefix, image::printable(text))); }

}  // namespace

void print_error(std::string_view text) { print_line("occlum: error: ", text); }
void print_errors(std::string_view lines) {
  while (!lines.empty()) {
    const std::size_t end = lines.find('\n');
    print_error(lines.substr(0, end));
    lines = end == std::string_view::npos ? std::string_view() : lines.substr(end + 1);
  }
}
void print_warning(std::string_view text) { print_line("occlum: warning: ", text); }
void print_notice(std::string_view text) { print_line("occlum: ", text); }

Progress::Progress(bool verbose) : terminal_(::isatty(STDERR_FILENO) == 1), verbose_(verbose) {}

Progress::~Progress() { done(); }

void Progress::step(std::string_view text) {
  if (verbose_) {
    print_line("", text);
  } else if (terminal_) {
    write_stderr(fmt::format("\r\x1b[K{} ...", image::printable(text)));
    shown_ = true;
  }
}

void Progress::done() {
  if (!shown_) return;
  write_stderr("\r\x1b[K");
  shown_ = false;
}

}  // namespace cli
