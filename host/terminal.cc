#include "host/terminal.h"

#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <initializer_list>

namespace host {

TerminalGuard::TerminalGuard() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (tcgetattr(fd, &saved_) == 0) {
      fd_ = fd;
      return;
    }
  }
}

TerminalGuard::~TerminalGuard() { restore(); }

void TerminalGuard::restore() {
  termios now = {};
  if (fd_ < 0 || tcgetattr(fd_, &now) != 0) return;
  const bool same = now.c_iflag == saved_.c_iflag && now.c_oflag == saved_.c_oflag && now.c_cflag == saved_.c_cflag &&
                    now.c_lflag == saved_.c_lflag && std::memcmp(now.c_cc, saved_.c_cc, sizeof(now.c_cc)) == 0;
  if (same) return;
  // A process in the background would be stopped by SIGTTOU.
  sigset_t block;
  sigset_t before;
  sigemptyset(&block);
  sigaddset(&block, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &block, &before);
  tcsetattr(fd_, TCSADRAIN, &saved_);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace host
