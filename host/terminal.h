// The state of the terminal: whatever a program inside did to it, the shell gets it back as it was.
#ifndef HOST_TERMINAL_H
#define HOST_TERMINAL_H

#include <termios.h>

namespace host {

// Remembers the settings of the first standard stream that is a terminal, and restores them when destroyed.
class TerminalGuard {
 public:
  TerminalGuard();
  ~TerminalGuard();
  void restore();
  TerminalGuard(const TerminalGuard&) = delete;
  TerminalGuard& operator=(const TerminalGuard&) = delete;

 private:
  int fd_ = -1;  // -1: no terminal
  termios saved_{};
};

}  // namespace host
#endif  // HOST_TERMINAL_H
