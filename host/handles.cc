#include "host/handles.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace host {

HostFile::~HostFile() {
  if (owned_) ::close(fd_);
}

HandleTable::HandleTable() : HandleTable(STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO) {}

HandleTable::HandleTable(int in, int out, int err) {
  for (const int fd : {in, out, err}) files_.push_back(std::make_shared<HostFile>(fd, false));
}

std::shared_ptr<HostFile> HandleTable::get(std::uint64_t handle) const {
  const std::lock_guard lock(mutex_);
  return handle < files_.size() ? files_[handle] : nullptr;
}

std::int64_t HandleTable::add(int fd) {
  auto file = std::make_shared<HostFile>(fd, true);
  const std::lock_guard lock(mutex_);
  const auto free = std::find(files_.begin(), files_.end(), nullptr);
  if (free != files_.end()) {
    *free = std::move(file);
    return free - files_.begin();
  }
  if (files_.size() >= kMaxHandles) return -EMFILE;
  files_.push_back(std::move(file));
  return static_cast<std::int64_t>(files_.size()) - 1;
}

std::int64_t HandleTable::close(std::uint64_t handle) {
  std::shared_ptr<HostFile> last;  // closes after the lock is gone
  const std::lock_guard lock(mutex_);
  if (handle >= files_.size() || files_[handle] == nullptr) return -EBADF;
  last = std::move(files_[handle]);
  files_[handle] = nullptr;
  return 0;
}

}  // namespace host
