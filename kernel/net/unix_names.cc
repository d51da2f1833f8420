#include "kernel/net/unix_names.h"

#include <algorithm>

#include "abi/fs.h"
#include "kernel/base/hash_map.h"
#include "kernel/frame/bytes.h"
#include "kernel/task/task.h"
#include "kernel/vfs/path.h"

namespace kernel {
namespace {

struct AbstractNames {
  SpinLock<LockRank::socket> lock;
  HashMap<UnixName, RefPtr<UnixEnd>> table GUARDED_BY(lock);
  std::uint32_t next_automatic GUARDED_BY(lock) = 0;
};
constinit AbstractNames abstract_names;  // NOLINT: the one table

bool is_abstract(const UnixName& name) { return !name.empty() && name.view().front() == '\0'; }

Result<> add_abstract(const UnixName& name, const Ref<UnixEnd>& end) {
  const LockGuard guard(abstract_names.lock);
  auto added = abstract_names.table.try_insert(name, RefPtr<UnixEnd>(end));
  if (added.ok()) return {};
  return added.error() == Errno::exist ? Errno::addrinuse : added.error();
}

// unix(7), "Autobind feature": five hexadecimal digits.
Result<UnixName> add_automatic(const Ref<UnixEnd>& end) {
  constexpr std::uint32_t kNames = 1 << 20;
  for (std::uint32_t tries = 0; tries < kNames; ++tries) {
    std::uint32_t number = 0;
    {
      const LockGuard guard(abstract_names.lock);
      number = abstract_names.next_automatic++ % kNames;
    }
    UnixName name;
    name.append_clipped('\0').append_clipped(Digits(number, 16, 5).view());
    const Result<> added = add_abstract(name, end);
    if (added.ok()) return name;
    if (added.error() != Errno::addrinuse) return added.error();
  }
  return Errno::nospc;
}

std::string_view path_in(const UnixName& name) { return name.view().substr(0, name.view().find('\0')); }

}  // namespace

RefPtr<UnixEnd> UnixBinding::end() const {
  const LockGuard guard(lock_);
  return end_;
}

void UnixBinding::clear() {
  RefPtr<UnixEnd> old;  // dropped without the lock
  const LockGuard guard(lock_);
  std::swap(old, end_);
}

Result<UnixName> parse_unix_address(std::span<const std::byte> address) {
  if (address.size() < sizeof(std::uint16_t) || address.size() > sizeof(abi::SockaddrUn)) return Errno::inval;
  if (load_bytes<std::uint16_t>(address) != abi::kAfUnix) return Errno::inval;
  const std::string_view path = text_of(address.subspan(sizeof(std::uint16_t)));
  UnixName name;
  if (path.empty()) return name;
  if (path.front() == '\0') {
    name.append_clipped(path);
    return name;
  }
  // A path ends at its first NUL, or with the address.
  const std::string_view text = path.substr(0, path.find('\0'));
  name.append_clipped(text);
  if (text.size() < abi::kUnixPathMax) name.append_clipped('\0');
  return name;
}

SocketAddress make_unix_address(const UnixName& name) {
  SocketAddress address;
  store_bytes<std::uint16_t>(address.bytes, 0, abi::kAfUnix);
  copy_bytes(std::span<std::byte>(address.bytes).subspan(sizeof(std::uint16_t)), bytes_of(name.view()));
  address.size = sizeof(std::uint16_t) + name.size();
  return address;
}

Result<RefPtr<UnixBinding>> bind_unix_name(Task& task, const Ref<UnixEnd>& end, const UnixName& name) {
  if (name.empty()) {
    end->set_name(TRY(add_automatic(end)));
    return RefPtr<UnixBinding>();
  }
  if (is_abstract(name)) {
    TRY(add_abstract(name, end));
    end->set_name(name);
    return RefPtr<UnixBinding>();
  }
  const Ref<UnixBinding> binding = TRY(make_ref<UnixBinding>(end));
  auto made = make_node(task, kAtFdCwd, path_in(name), mode_of(FileType::socket) | 0777, 0);
  if (!made.ok()) return made.error() == Errno::exist ? Errno::addrinuse : made.error();
  const Ref<Dentry> dentry = std::move(made).release();
  dentry->existing_inode().install_payload(binding);
  end->set_name(name);
  return RefPtr<UnixBinding>(binding);
}

bool unix_name_exists(Task& task, const UnixName& name) {
  return !name.empty() && !is_abstract(name) && lookup_path(task, kAtFdCwd, path_in(name), 0).ok();
}

void release_unix_name(const UnixEnd& end) {
  const UnixName name = end.name();
  if (!is_abstract(name)) return;
  std::optional<RefPtr<UnixEnd>> old;  // dropped without the lock
  const LockGuard guard(abstract_names.lock);
  RefPtr<UnixEnd>* there = abstract_names.table.find(name);
  if (there != nullptr && there->get() == &end) old = abstract_names.table.take(name);
}

Result<Ref<UnixEnd>> find_unix_name(Task& task, const UnixName& name) {
  RefPtr<UnixEnd> found;
  if (name.empty()) return Errno::inval;
  if (is_abstract(name)) {
    const LockGuard guard(abstract_names.lock);
    if (const RefPtr<UnixEnd>* there = abstract_names.table.find(name)) found = *there;
  } else {
    const Ref<Dentry> dentry = TRY(lookup_path(task, kAtFdCwd, path_in(name), kWalkFollow));
    Inode& inode = dentry->existing_inode();
    TRY(check_access(task, inode, kMayWrite));
    if (inode.type() != FileType::socket) return Errno::connrefused;
    if (const RefPtr<InodePayload> payload = inode.payload()) {
      // SAFETY: socket inodes carry UnixBindings only: nobody else installs payloads on them.
      found = static_cast<const UnixBinding&>(*payload).end();
    }
  }
  if (!found || found->is_gone()) return Errno::connrefused;
  return found.as_ref();
}

}  // namespace kernel
