// Passes the signals that the user sends to `occlum run` on to the first process inside.
#ifndef HOST_SIGNALS_H
#define HOST_SIGNALS_H

#include <signal.h>

#include <cstdint>
#include <functional>
#include <thread>

#include "host/result.h"

namespace host {

// Blocks the forwarded signals in the calling thread (and the threads that it creates afterwards) and serves them in a thread of
// its own. A signal that was ignored when the program started stays ignored (nohup). SIGPIPE is ignored: the kernel inside makes its own.
class SignalForwarder {
 public:
  SignalForwarder();
  ~SignalForwarder();  // stops, restores the mask of the calling thread
  SignalForwarder(const SignalForwarder&) = delete;
  SignalForwarder& operator=(const SignalForwarder&) = delete;

  // Sets bit n-1 of *word for each signal n that comes, then calls `arrived`.
  Status start(std::uint64_t* word, std::function<void()> arrived);
  void stop();

 private:
  void loop();

  sigset_t forwarded_;
  sigset_t mask_before_;
  struct sigaction pipe_before_ {};
  int signal_fd_ = -1;
  int stop_fd_ = -1;
  std::uint64_t* word_ = nullptr;
  std::function<void()> arrived_;
  std::thread thread_;
};

}  // namespace host
#endif  // HOST_SIGNALS_H
