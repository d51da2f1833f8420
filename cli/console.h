// What the command line says: errors, warnings, notices, and progress on a terminal.
#ifndef CLI_CONSOLE_H
#define CLI_CONSOLE_H

#include <string>
#include <string_view>

namespace cli {

// Exit codes of the command itself; `occlum run` otherwise returns the program's (docs/cli.md has the table).
enum class Exit : int {
  ok = 0,
  failure = 1,         // something went wrong: the message says what
  usage = 2,           // wrong arguments, or something this version cannot do
  not_started = 125,   // run: the enclave could not be started
  not_allowed = 126,   // run: entry_points does not allow the program, or it is not executable
  not_found = 127,     // run: the program is not in the image
};

// "occlum: error: ..." on stderr, one line whatever the text holds.
void print_error(std::string_view text);
// One such line for each line of the text.
void print_errors(std::string_view lines);
void print_warning(std::string_view text);
// "occlum: ..." on stderr.
void print_notice(std::string_view text);

// Steps of a long task. On a terminal one line is rewritten; elsewhere nothing is shown unless `verbose`.
class Progress {
 public:
  explicit Progress(bool verbose);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();
  void step(std::string_view text);
  // Removes the line.
  void done();

 private:
  bool terminal_;
  bool verbose_;
  bool shown_ = false;
};

}  // namespace cli
#endif  // CLI_CONSOLE_H
