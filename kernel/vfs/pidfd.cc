#include "kernel/vfs/pidfd.h"

#include <algorithm>
#include <string_view>

#include "abi/fs.h"
#include "kernel/base/string.h"

namespace kernel {
PidFd::PidFd(RefPtr<Process> process, std::uint32_t flags) : OpenFile(flags | abi::kORdWr), process_(std::move(process)) {}

std::uint32_t PidFd::readiness() {
  const Ref<Process> process = process_.as_ref();
  switch (process->state()) {
    case ProcessState::alive: return 0;
    case ProcessState::zombie: return kPollReadable;
    case ProcessState::reaped: return kPollReadable | kPollHup;
  }
  return 0;
}

std::size_t PidFd::describe(std::span<char> into) {
  constexpr std::string_view kName = "anon_inode:[pidfd]";
  const std::size_t count = std::min(kName.size(), into.size());
  std::copy_n(kName.begin(), count, into.begin());
  return count;
}

Result<> PidFd::describe_info(String& out) {
  const Digits pid(static_cast<std::uint64_t>(process_->pid()));
  const Ref<Process> process = process_.as_ref();
  const std::string_view number = process->state() == ProcessState::reaped ? std::string_view("-1") : pid.view();
  for (const std::string_view part : {std::string_view("Pid:\t"), number, std::string_view("\nNSpid:\t"), number, std::string_view("\n")})
    TRY(out.try_append(part));
  return {};
}

}  // namespace kernel
