#include "kernel/syscall/control.h"

#include <algorithm>
#include <array>

#include "abi/process.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/user.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.h"

namespace kernel {
namespace {

constexpr std::uint64_t kMostControl = 20480;  // /proc/sys/net/core/optmem_max

Result<> load_rights(Task& task, std::span<const std::byte> data, Ancillary& into) {
  const std::size_t count = data.size() / sizeof(std::int32_t);
  if (count + into.files.size() > abi::kScmMaxFd) return Errno::inval;
  for (std::size_t i = 0; i < count; ++i) {
    const auto fd = load_bytes<std::int32_t>(data, i * sizeof(std::int32_t));
    TRY(into.files.try_push(TRY(files_of(task).get_handle(Fd{fd}))));
  }
  const Ref<const Credentials> who = task.credentials_ref();
  const Ref<const Process> process(task.process());
  const bool unlimited = who->has(Capability::sys_resource) || who->has(Capability::sys_admin);
  return into.flight.add(who->ruid, count, unlimited ? ~std::uint64_t{0} : process->rlimit_current(abi::Rlimit::nofile));
}

// unix(7), SCM_CREDENTIALS: others' ids only with the capability to have them.
Result<> load_credentials(Task& task, std::span<const std::byte> data, Ancillary& into) {
  if (data.size() != sizeof(abi::Ucred)) return Errno::inval;
  const auto given = load_bytes<abi::Ucred>(data);
  const Credentials& who = task.credentials();
  const bool own_pid = given.pid == static_cast<std::int32_t>(task.process().pid());
  const bool own_uid = given.uid == who.ruid || given.uid == who.euid || given.uid == who.suid;
  const bool own_gid = given.gid == who.rgid || given.gid == who.egid || given.gid == who.sgid;
  if (!(own_pid || who.has(Capability::sys_admin)) || !(own_uid || who.has(Capability::setuid)) || !(own_gid || who.has(Capability::setgid)))
    return Errno::perm;
  if (!own_pid && !find_process(Pid{given.pid})) return Errno::srch;
  into.credential = given;
  return {};
}

// Writes control messages one behind the other.
class ControlWriter {
 public:
  ControlWriter(std::uint64_t address, std::uint64_t room) : address_(address), room_(room) {}
  std::uint64_t used() const { return used_; }
  // Bytes of data that a message begun here could hold.
  std::uint64_t space() const { return room_ - used_ > sizeof(abi::CmsgHdr) ? room_ - used_ - sizeof(abi::CmsgHdr) : 0; }
  bool has_header_room() const { return room_ - used_ >= sizeof(abi::CmsgHdr); }
  Result<> add(std::int32_t type, std::span<const std::byte> data, std::int32_t level = abi::kSolSocket) {
    const abi::CmsgHdr header{.length = sizeof(abi::CmsgHdr) + data.size(), .level = level, .type = type};
    TRY(UserPtr<abi::CmsgHdr>(address_ + used_).store(header));
    TRY(UserPtr<std::byte>(address_ + used_ + sizeof(header)).store_all(data));
    used_ = std::min(used_ + abi::cmsg_align(header.length), room_);
    return {};
  }

 private:
  const std::uint64_t address_, room_;
  std::uint64_t used_ = 0;
};

Result<> store_rights(Task& task, ControlWriter& writer, Ancillary& from, bool close_on_exec, std::uint32_t& flags) {
  std::array<std::int32_t, abi::kScmMaxFd> numbers{};
  const std::size_t fit = std::min<std::uint64_t>(writer.space() / sizeof(std::int32_t), from.files.size());
  if (fit < from.files.size()) flags |= abi::kMsgCtrunc;
  FdTable& table = files_of(task);
  const std::uint64_t limit = task.process().rlimit_current(abi::Rlimit::nofile);
  std::size_t count = 0;
  for (; count < fit; ++count) {
    auto reserved = table.reserve(limit);
    if (!reserved.ok()) {
      flags |= abi::kMsgCtrunc;
      break;
    }
    numbers[count] = static_cast<std::int32_t>(std::move(reserved).release());
  }
  if (count == 0) return {};
  const Result<> stored = writer.add(abi::kScmRights, std::as_bytes(std::span<const std::int32_t>(numbers).first(count)));
  for (std::size_t i = 0; i < count; ++i) {
    if (stored.ok())
      table.install(Fd{numbers[i]}, std::move(from.files[i]), close_on_exec);
    else
      table.release(Fd{numbers[i]});
  }
  return stored;
}

// Messages of other levels: the address family looks at them, or not.
Result<> load_other(const abi::CmsgHdr& control, std::span<const std::byte> data, Ancillary& into) {
  ControlMessage message{.level = control.level, .type = control.type, .size = data.size()};
  if (data.size() > message.data.size()) return {};
  copy_bytes(message.data, data);
  return into.messages.try_push(message);
}

}  // namespace

Result<> load_control(Task& task, const abi::MsgHdr& header, Ancillary& into) {
  if (header.control_length > kMostControl) return Errno::nobufs;
  Vec<std::byte> bytes;
  TRY(bytes.try_resize(static_cast<std::size_t>(header.control_length)));
  TRY(UserPtr<const std::byte>(header.control).load_all(bytes.span()));
  std::span<const std::byte> rest = bytes.span();
  while (rest.size() >= sizeof(abi::CmsgHdr)) {
    const auto control = load_bytes<abi::CmsgHdr>(rest);
    if (control.length < sizeof(control) || control.length > rest.size()) return Errno::inval;
    const std::span<const std::byte> data = rest.subspan(sizeof(control), control.length - sizeof(control));
    if (control.level == abi::kSolSocket) {
      if (control.type == abi::kScmRights)
        TRY(load_rights(task, data, into));
      else if (control.type == abi::kScmCredentials)
        TRY(load_credentials(task, data, into));
      else
        return Errno::inval;
    } else {
      TRY(load_other(control, data, into));
    }
    rest = rest.subspan(std::min<std::uint64_t>(abi::cmsg_align(control.length), rest.size()));
  }
  return {};
}

Result<> store_control(Task& task, abi::MsgHdr& header, Ancillary& from, bool close_on_exec) {
  ControlWriter writer(header.control, header.control != 0 ? header.control_length : 0);
  for (const ControlMessage& message : from.messages) {
    if (writer.space() >= message.size)
      TRY(writer.add(message.type, std::span(message.data).first(message.size), message.level));
    else
      header.flags |= abi::kMsgCtrunc;
  }
  if (from.credential) {
    if (writer.space() >= sizeof(abi::Ucred)) {
      const abi::Ucred credential = *from.credential;
      TRY(writer.add(abi::kScmCredentials, std::as_bytes(std::span<const abi::Ucred, 1>(&credential, 1))));
    } else {
      header.flags |= abi::kMsgCtrunc;
    }
  }
  if (!from.files.empty()) TRY(store_rights(task, writer, from, close_on_exec, header.flags));
  header.control_length = writer.used();
  return {};
}

}  // namespace kernel
