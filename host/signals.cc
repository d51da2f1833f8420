#include "host/signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "host/shared_memory.h"

namespace host {
namespace {

constexpr int kForwarded[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGCONT, SIGTSTP, SIGWINCH};

}  // namespace

SignalForwarder::SignalForwarder() {
  sigemptyset(&forwarded_);
  for (const int signal : kForwarded) {
    struct sigaction now = {};
    sigaction(signal, nullptr, &now);
    if (now.sa_handler != SIG_IGN) sigaddset(&forwarded_, signal);
  }
  sigset_t blocked = forwarded_;
  sigaddset(&blocked, SIGTTOU);  // settings of the terminal may be changed from the background
  pthread_sigmask(SIG_BLOCK, &blocked, &mask_before_);
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &pipe_before_);
}

SignalForwarder::~SignalForwarder() {
  stop();
  for (const int fd : {signal_fd_, stop_fd_}) {
    if (fd >= 0) close(fd);
  }
  sigaction(SIGPIPE, &pipe_before_, nullptr);
  pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

Status SignalForwarder::start(std::uint64_t* word, std::function<void()> arrived) {
  word_ = word;
  arrived_ = std::move(arrived);
  signal_fd_ = signalfd(-1, &forwarded_, SFD_CLOEXEC | SFD_NONBLOCK);
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  if (signal_fd_ < 0 || stop_fd_ < 0) return fail(errno, "cannot watch for signals: {}", errno_text(errno));
  thread_ = std::thread([this] { loop(); });
  return {};
}

void SignalForwarder::stop() {
  if (!thread_.joinable()) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_fd_, &one, sizeof(one));
  thread_.join();
}

void SignalForwarder::loop() {
  for (;;) {
    pollfd files[] = {{signal_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    if (poll(files, 2, -1) < 0) continue;
    if (files[1].revents != 0) return;
    signalfd_siginfo info = {};
    while (read(signal_fd_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
      shared(*word_).fetch_or(std::uint64_t{1} << (info.ssi_signo - 1), std::memory_order_seq_cst);
      arrived_();
    }
  }
}

}  // namespace host
