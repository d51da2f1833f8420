#include "kernel/syscall/memory.h"

#include <algorithm>

#include "abi/fs.h"
#include "abi/mm.h"
#include "kernel/base/checked.h"
#include "kernel/base/vec.h"
#include "kernel/mm/address_space.h"
#include "kernel/mm/page_buffer.h"
#include "kernel/task/inspect.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/path.h"

namespace kernel {
namespace {

using namespace abi;

constexpr std::uint32_t kKnownMapFlags = kMapTypeMask | kMapFixed | kMapAnonymous | kMap32Bit | kMapGrowsDown | kMapDenyWrite |
                                         kMapExecutable | kMapLocked | kMapNoReserve | kMapPopulate | kMapNonblock | kMapStack |
                                         kMapHugeTlb | kMapFixedNoReplace | kMapUninitialized;

// The address space keeps copies of the limits that it must know.
AddressSpace& memory_of(Task& task) {
  const Process& process = task.process();
  const bool may_lock = task.credentials().has(Capability::ipc_lock);
  task.mm().set_limits({.address_space = process.rlimit_current(Rlimit::as),
                        .data = process.rlimit_current(Rlimit::data),
                        .locked = may_lock ? kRlimInfinity : process.rlimit_current(Rlimit::memlock),
                        .stack = process.rlimit_current(Rlimit::stack)});
  return task.mm();
}

// The path for /proc/PID/maps; a mapping without one is no worse.
RefPtr<MapLabel> label_for(const OpenFile& file) {
  if (!file.dentry()) return nullptr;
  auto page = make_own<PathPage>();
  if (!page.ok()) return nullptr;
  const Own<PathPage> room = std::move(page).release();
  auto path = path_text(*file.dentry(), nullptr, room->bytes);
  if (!path.ok()) return nullptr;
  auto label = MapLabel::make(std::move(path).release().text);
  if (!label.ok()) return nullptr;
  return std::move(label).release();
}

// Fills in what the descriptor says (mmap(2), EACCES, EBADF, ENODEV).
Result<> add_file(Task& task, Fd fd, MapRequest& request) {
  const RefPtr<OpenFile> file = TRY(files_of(task).get(fd));
  if (!file->may_read()) return Errno::acces;
  if (request.shared && !file->may_write()) {
    if ((request.prot & kernel::kProtWrite) != 0) return Errno::acces;
    request.max_prot &= ~kernel::kProtWrite;
  }
  if (request.shared) {
    // F_SEAL_WRITE, F_SEAL_FUTURE_WRITE of a memfd.
    auto seals = file->seals(false, 0);
    if (seals.ok() && (std::move(seals).release() & (abi::kSealWrite | abi::kSealFutureWrite)) != 0) {
      if ((request.prot & kernel::kProtWrite) != 0) return Errno::perm;
      request.max_prot &= ~kernel::kProtWrite;
    }
  }
  request.file = TRY(file->mapping());
  request.label = label_for(*file);
  return {};
}

}  // namespace

Result<std::uint64_t> sys_mmap(Task& task, std::uint64_t address, std::uint64_t size, std::uint32_t prot, std::uint32_t flags, Fd fd,
                               std::uint64_t offset) {
  if (!is_aligned(offset, kPageSize)) return Errno::inval;
  const std::uint32_t type = flags & kMapTypeMask;
  if (type != kMapShared && type != kMapPrivate && type != kMapSharedValidate) return Errno::inval;
  if (type == kMapSharedValidate && (flags & ~kKnownMapFlags) != 0) return Errno::opnotsupp;
  if (size == 0) return Errno::inval;
  MapRequest request;
  request.address = address;
  request.size = size;
  request.prot = prot & kProtAll;
  request.shared = type != kMapPrivate;
  request.grows_down = (flags & kMapGrowsDown) != 0;
  request.locked = (flags & kMapLocked) != 0;
  request.populate = (flags & kMapPopulate) != 0 && (flags & kMapNonblock) == 0;
  request.low = (flags & kMap32Bit) != 0;
  if ((flags & kMapFixedNoReplace) != 0)
    request.placement = Placement::fixed_noreplace;
  else if ((flags & kMapFixed) != 0)
    request.placement = Placement::fixed;
  if ((flags & kMapAnonymous) == 0) {
    request.offset = offset;
    request.image = (flags & kMapDenyWrite) != 0;  // how ld.so maps a library
    TRY(add_file(task, fd, request));
  } else if ((flags & kMapHugeTlb) != 0) {
    return Errno::nomem;  // no huge pages are set aside, as on a machine with nr_hugepages = 0
  }
  if (request.grows_down && request.shared) return Errno::inval;
  // Below the lowest address of programs: EPERM of mmap_min_addr.
  if (request.placement != Placement::anywhere) {
    if (!is_aligned(address, kPageSize)) return Errno::inval;
    if (address < frame::user_window_begin()) return Errno::perm;
  }
  return memory_of(task).map(request);
}

Result<> sys_munmap(Task& task, std::uint64_t address, std::uint64_t size) { return task.mm().unmap(address, size); }

Result<> sys_mprotect(Task& task, std::uint64_t address, std::uint64_t size, std::uint32_t prot) {
  const std::uint32_t grows = prot & (kProtGrowsDown | kProtGrowsUp);
  prot &= ~grows;
  if (grows == (kProtGrowsDown | kProtGrowsUp) || (grows & kProtGrowsUp) != 0) return Errno::inval;
  if (!is_aligned(address, kPageSize)) return Errno::inval;
  if (size == 0) return {};
  if ((prot & ~(kProtAll | kProtSem)) != 0) return Errno::inval;
  return task.mm().protect(address, size, prot & kProtAll, grows);
}

Result<> sys_pkey_mprotect(Task& task, std::uint64_t address, std::uint64_t size, std::uint32_t prot, std::int32_t key) {
  if (key != -1) return Errno::inval;
  return sys_mprotect(task, address, size, prot);
}

Result<std::uint64_t> sys_mremap(Task& task, std::uint64_t address, std::uint64_t old_size, std::uint64_t new_size, std::uint32_t flags,
                                 std::uint64_t new_address) {
  return memory_of(task).remap(address, old_size, new_size, flags, new_address);
}

Result<std::uint64_t> sys_brk(Task& task, std::uint64_t address) {
  AddressSpace& mm = address == 0 ? task.mm() : memory_of(task);
  return mm.set_break(address);
}

Result<> sys_madvise(Task& task, std::uint64_t address, std::uint64_t size, std::uint32_t advice) {
  return task.mm().advise(address, size, advice);
}

Result<> sys_mincore(Task& task, std::uint64_t address, std::uint64_t size, UserPtr<std::uint8_t> vector) {
  if (!is_aligned(address, kPageSize)) return Errno::inval;
  if (round_up(size, kPageSize) < size) return Errno::nomem;
  const std::uint64_t pages = round_up(size, kPageSize) >> kPageShift;
  TRY(UserBytes::at(vector, pages));
  for (std::uint64_t done = 0; done < pages;) {
    const std::uint64_t step = std::min<std::uint64_t>(pages - done, 1024);
    std::array<std::uint8_t, 1024> bytes;
    const auto part = std::span(bytes).first(static_cast<std::size_t>(step));
    // As far as there are areas: what is known is stored before a hole is reported.
    const std::size_t known = TRY(task.mm().residency(address + (done << kPageShift), part));
    const UserPtr<std::uint8_t> into = TRY(vector.at(done));
    TRY(into.store_all(part.first(known)));
    done += known;
  }
  return {};
}

Result<> sys_mlock(Task& task, std::uint64_t address, std::uint64_t size) { return memory_of(task).lock_pages(address, size, false); }

Result<> sys_mlock2(Task& task, std::uint64_t address, std::uint64_t size, std::uint32_t flags) {
  if ((flags & ~kMlockOnFault) != 0) return Errno::inval;
  return memory_of(task).lock_pages(address, size, flags != 0);
}

Result<> sys_munlock(Task& task, std::uint64_t address, std::uint64_t size) { return task.mm().unlock_pages(address, size); }

Result<> sys_mlockall(Task& task, std::uint32_t flags) {
  if (flags == 0 || (flags & ~(kMclCurrent | kMclFuture | kMclOnFault)) != 0 || flags == kMclOnFault) return Errno::inval;
  return memory_of(task).lock_all((flags & kMclCurrent) != 0, (flags & kMclFuture) != 0, (flags & kMclOnFault) != 0);
}

Result<> sys_munlockall(Task& task) { return task.mm().unlock_all(); }

Result<> sys_msync(Task& task, std::uint64_t address, std::uint64_t size, std::uint32_t flags) { return task.mm().sync(address, size, flags); }

// --- process_vm_readv, process_vm_writev ---

namespace {

Result<> load_iovec(UserPtr<const Iovec> vector, std::uint64_t count, Vec<Iovec>& into) {
  if (count > kIovMax) return Errno::inval;
  TRY(into.try_resize(static_cast<std::size_t>(count)));
  TRY(vector.load_all(into.span()));
  std::uint64_t total = 0;
  for (const Iovec& part : into)
    if (__builtin_add_overflow(total, part.length, &total) || total > static_cast<std::uint64_t>(INT64_MAX)) return Errno::inval;
  return {};
}

// Whose memory a task may look into (ptrace(2), PTRACE_MODE_ATTACH_REALCREDS): its own user's, or anybody's with CAP_SYS_PTRACE.
Result<RefPtr<AddressSpace>> other_memory(Task& task, Pid pid) {
  const RefPtr<Task> other = find_task(pid);
  const RefPtr<Process> process = other ? RefPtr<Process>(&other->process()) : find_process(pid);
  if (!process) return Errno::srch;
  TRY(may_inspect(task, *process));
  RefPtr<AddressSpace> memory = process->mm();
  if (!memory) return Errno::srch;
  return memory;
}

// A place in an iovec list.
struct Cursor {
  std::span<const Iovec> list;
  std::size_t index = 0;
  std::uint64_t used = 0;
  bool skip_empty() {
    while (index < list.size() && used == list[index].length) {
      ++index;
      used = 0;
    }
    return index < list.size();
  }
  std::uint64_t left() const { return list[index].length - used; }
  std::uint64_t position() const { return list[index].base + used; }
};

Result<std::uint64_t> transfer(Task& task, Pid pid, UserPtr<const Iovec> local, std::uint64_t local_count, UserPtr<const Iovec> remote,
                               std::uint64_t remote_count, std::uint64_t flags, bool writes) {
  if (flags != 0) return Errno::inval;
  Vec<Iovec> here;
  Vec<Iovec> there;
  TRY(load_iovec(local, local_count, here));
  TRY(load_iovec(remote, remote_count, there));
  const RefPtr<AddressSpace> memory = TRY(other_memory(task, pid));
  const mm::PageBuffer buffer = TRY(mm::PageBuffer::make(1));
  Cursor near{.list = here.span()};
  Cursor far{.list = there.span()};
  std::uint64_t done = 0;
  while (near.skip_empty() && far.skip_empty()) {
    const auto step = static_cast<std::size_t>(std::min({near.left(), far.left(), std::uint64_t{kPageSize}}));
    const std::span<std::byte> bytes = buffer.page(0).first(step);
    Result<std::size_t> moved = Errno::fault;
    if (writes) {
      moved = frame::copy_from_user_partial(bytes, near.position());
      if (moved.ok()) moved = memory->write_remote(far.position(), bytes.first(auto(moved).release()));
    } else {
      moved = memory->read_remote(far.position(), bytes);
      if (moved.ok()) moved = frame::copy_to_user_partial(near.position(), bytes.first(auto(moved).release()));
    }
    if (!moved.ok()) return done != 0 ? Result<std::uint64_t>(done) : Result<std::uint64_t>(moved.error());
    const std::size_t count = auto(moved).release();
    done += count;
    near.used += count;
    far.used += count;
    if (count < step) break;
  }
  return done;
}

}  // namespace

Result<std::uint64_t> sys_process_vm_readv(Task& task, Pid pid, UserPtr<const Iovec> local, std::uint64_t local_count,
                                           UserPtr<const Iovec> remote, std::uint64_t remote_count, std::uint64_t flags) {
  return transfer(task, pid, local, local_count, remote, remote_count, flags, false);
}

Result<std::uint64_t> sys_process_vm_writev(Task& task, Pid pid, UserPtr<const Iovec> local, std::uint64_t local_count,
                                            UserPtr<const Iovec> remote, std::uint64_t remote_count, std::uint64_t flags) {
  return transfer(task, pid, local, local_count, remote, remote_count, flags, true);
}

}  // namespace kernel
