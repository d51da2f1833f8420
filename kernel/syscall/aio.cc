#include "kernel/syscall/aio.h"

#include <algorithm>
#include <limits>

#include "abi/fs.h"
#include "abi/poll.h"
#include "kernel/base/checked.h"
#include "kernel/mm/address_space.h"
#include "kernel/syscall/io.h"
#include "kernel/task/process.h"
#include "kernel/task/scheduler.h"
#include "kernel/task/task.h"
#include "kernel/vfs/aio.h"
#include "kernel/vfs/eventfd.h"
#include "kernel/vfs/fd_table.h"

namespace kernel {
namespace {

constexpr std::uint32_t kMostRequests = 0x10000000U / sizeof(abi::IoEvent);
constexpr std::uint32_t kKnownRwFlags = abi::kRwfHiPri | abi::kRwfDSync | abi::kRwfSync | abi::kRwfNoWait;

// SAFETY: the only class that is kept there.
Ref<AioContexts> as_contexts(const Ref<ProcessResource>& resource) { return Ref<AioContexts>(static_cast<AioContexts&>(*resource)); }

// EINVAL if the process never made a context.
Result<Ref<AioContexts>> contexts_of(Task& task) {
  const Ref<Process> process(task.process());
  const RefPtr<ProcessResource> all = process->aio();
  if (!all) return Errno::inval;
  return as_contexts(all.as_ref());
}

Result<Ref<AioContext>> find_context(Task& task, std::uint64_t id) {
  const Ref<AioContexts> all = TRY(contexts_of(task));
  return all->find(id);
}

Result<Ref<OpenFile>> file_of(Task& task, std::uint32_t number) {
  const Ref<FdTable> files(files_of(task));
  const RefPtr<OpenFile> file = TRY(files->get(Fd{static_cast<std::int32_t>(number)}));
  return file.as_ref();
}

// The page at whose address the context is known. Its magic number is none that libraries know, so that they call for events.
Result<std::uint64_t> map_ring(Task& task, std::uint32_t capacity) {
  MapRequest request;
  request.size = kPageSize;
  request.prot = kProtRead | kProtWrite;
  request.label = TRY(MapLabel::make("/[aio] (deleted)"));
  const Ref<AddressSpace> mm = task.mm_ref();
  const std::uint64_t address = TRY(mm->map(request));
  const Result<> written = UserPtr<abi::AioRing>(address).store(
      {.id = 0, .count = capacity + 1, .head = 0, .tail = 0, .magic = 0, .compatible = 0, .incompatible = 0, .header_size = sizeof(abi::AioRing)});
  if (!written.ok()) (void)mm->unmap(address, kPageSize);
  TRY(written);
  return address;
}

// What a transfer gave, as an event says it. Nothing is restarted.
std::int64_t event_result(const Result<std::uint64_t>& done, std::uint64_t value) {
  if (done.ok()) return static_cast<std::int64_t>(value);
  const Errno error = done.error();
  const bool interrupted = error == Errno::restart || error == Errno::restart_nohand;
  return -static_cast<std::int64_t>(interrupted ? Errno::intr : error);
}

bool writes(std::uint16_t opcode) { return opcode == abi::kIocbPwrite || opcode == abi::kIocbPwritev; }

// Errors that io_submit itself returns; those of the transfer go into the event.
Result<> check_transfer(Task& task, const abi::IoControlBlock& block) {
  const Ref<OpenFile> file = TRY(file_of(task, block.fd));
  if ((block.rw_flags & ~kKnownRwFlags) != 0) return Errno::opnotsupp;
  if ((block.rw_flags & abi::kRwfNoWait) != 0 && file->is_stream()) return Errno::opnotsupp;
  if (writes(block.opcode) ? !file->may_write() : !file->may_read()) return Errno::badf;
  if (writes(block.opcode) ? !file->has_write() : !file->has_read()) return Errno::inval;
  if (const RefPtr<Inode> inode = file->inode(); inode && inode->is_directory()) return Errno::inval;
  if (block.opcode == abi::kIocbPreadv || block.opcode == abi::kIocbPwritev) {
    UserIovec vector;
    TRY(vector.load(UserPtr<const abi::Iovec>(block.buffer), block.size));
  } else {
    TRY(UserBytes::at(block.buffer, block.size));
  }
  return block.offset < 0 ? Result<>(Errno::inval) : Result<>();
}

Result<std::uint64_t> transfer(Task& task, const abi::IoControlBlock& block) {
  const Fd fd{static_cast<std::int32_t>(block.fd)};
  const Ref<OpenFile> file = TRY(file_of(task, block.fd));
  const bool at_offset = !file->is_stream();
  const UserPtr<const abi::Iovec> vector(block.buffer);
  switch (block.opcode) {
    case abi::kIocbPread:
      return at_offset ? sys_pread64(task, fd, UserPtr<std::byte>(block.buffer), block.size, block.offset)
                       : sys_read(task, fd, UserPtr<std::byte>(block.buffer), block.size);
    case abi::kIocbPreadv:
      return at_offset ? sys_preadv(task, fd, vector, block.size, block.offset) : sys_readv(task, fd, vector, block.size);
    case abi::kIocbPwritev:
      return at_offset ? sys_pwritev(task, fd, vector, block.size, block.offset) : sys_writev(task, fd, vector, block.size);
    default:
      return at_offset ? sys_pwrite64(task, fd, UserPtr<const std::byte>(block.buffer), block.size, block.offset)
                       : sys_write(task, fd, UserPtr<const std::byte>(block.buffer), block.size);
  }
}

Result<std::uint64_t> transfer_and_sync(Task& task, const abi::IoControlBlock& block) {
  const std::uint64_t moved = TRY(transfer(task, block));
  const Ref<OpenFile> file = TRY(file_of(task, block.fd));
  if (writes(block.opcode) && (block.rw_flags & (abi::kRwfDSync | abi::kRwfSync)) != 0) TRY(file->sync((block.rw_flags & abi::kRwfSync) == 0));
  return moved;
}

void finish(AioContext& context, AioRequest& request, Result<std::uint64_t> done) {
  const bool good = done.ok();
  const Errno error = good ? Errno{} : done.error();
  context.complete(request, good ? event_result(Result<std::uint64_t>(std::uint64_t{0}), std::move(done).release())
                                 : event_result(Result<std::uint64_t>(error), 0));
}

Result<> start_sync(Task& task, AioContext& context, AioRequest& request, const abi::IoControlBlock& block) {
  if (block.buffer != 0 || block.offset != 0 || block.size != 0 || block.rw_flags != 0) return Errno::inval;
  const Ref<OpenFile> file = TRY(file_of(task, block.fd));
  if (file->is_stream()) return Errno::inval;
  const Result<> synced = file->sync(block.opcode == abi::kIocbFdsync);
  finish(context, request, synced.ok() ? Result<std::uint64_t>(std::uint64_t{0}) : Result<std::uint64_t>(synced.error()));
  return {};
}

Result<> start_poll(Task& task, AioContext& context, AioRequest& request, const abi::IoControlBlock& block) {
  if (block.buffer > std::numeric_limits<std::uint16_t>::max()) return Errno::inval;
  if (block.offset != 0 || block.size != 0 || block.rw_flags != 0) return Errno::inval;
  const Ref<OpenFile> file = TRY(file_of(task, block.fd));
  context.poll(request, file, static_cast<std::uint32_t>(block.buffer));
  return {};
}

Result<> start(Task& task, AioContext& context, AioRequest& request, const abi::IoControlBlock& block) {
  switch (block.opcode) {
    case abi::kIocbPread:
    case abi::kIocbPwrite:
    case abi::kIocbPreadv:
    case abi::kIocbPwritev:
      TRY(check_transfer(task, block));
      finish(context, request, transfer_and_sync(task, block));
      return {};
    case abi::kIocbFsync:
    case abi::kIocbFdsync:
      return start_sync(task, context, request, block);
    case abi::kIocbPoll:
      return start_poll(task, context, request, block);
    default:
      return Errno::inval;
  }
}

Result<> submit(Task& task, AioContext& context, std::uint64_t address) {
  const UserPtr<abi::IoControlBlock> user(address);
  const abi::IoControlBlock block = TRY(user.load());
  if (block.reserved != 0 || block.size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return Errno::inval;
  RefPtr<EventFd> notify;
  const abi::IoEvent event{.data = block.data, .object = address, .result = 0, .result2 = 0};
  // The order of Linux's complaints: the descriptor, then the eventfd, then the rest.
  TRY(file_of(task, block.fd));
  if ((block.flags & abi::kIocbFlagResultFd) != 0) {
    const Ref<OpenFile> file = TRY(file_of(task, block.result_fd));
    notify = RefPtr<EventFd>(file->as_eventfd());
    if (!notify) return Errno::inval;
  }
  TRY(UserPtr<std::uint32_t>(address + offsetof(abi::IoControlBlock, key)).store(0));
  const Ref<AioRequest> request = TRY(context.begin(event, notify));
  const Result<> started = start(task, context, *request, block);
  if (!started.ok()) context.abandon(*request);
  return started;
}

Result<std::uint32_t> fetch(Task& task, std::uint64_t id, std::int64_t least, std::int64_t most, UserPtr<abi::IoEvent> events,
                            UserPtr<const abi::Timespec> timeout) {
  Instant deadline = kNever;
  if (!timeout.is_null()) {
    const abi::Timespec wanted = TRY(timeout.load());
    std::int64_t length = 0;
    const bool far = __builtin_mul_overflow(wanted.sec, std::int64_t{abi::kNsPerSec}, &length) || __builtin_add_overflow(length, wanted.nsec, &length);
    if (!far) deadline = length <= 0 ? 0 : task.keep_deadline(monotonic_now() + static_cast<std::uint64_t>(length));
    if (far && wanted.sec < 0) deadline = 0;
  }
  const Ref<AioContext> context = TRY(find_context(task, id));
  if (least < 0 || least > most) return Errno::inval;
  constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
  return context->fetch(events, static_cast<std::uint32_t>(std::min(least, kMost)), static_cast<std::uint32_t>(std::min(most, kMost)), deadline);
}

}  // namespace

Result<> sys_io_setup(Task& task, std::uint32_t requests, UserPtr<std::uint64_t> context) {
  if (TRY(context.load()) != 0 || requests == 0) return Errno::inval;
  // As large a ring as Linux would make: programs find out how many requests may be under way.
  const std::uint64_t wanted = 2 * std::max<std::uint64_t>(requests, std::uint64_t{4} * vcpu_count());
  if (wanted > kMostRequests) return Errno::inval;
  if (requests > AioContext::kMost) return Errno::again;
  const std::uint64_t bytes = round_up(sizeof(abi::AioRing) + (wanted + 2) * sizeof(abi::IoEvent), kPageSize);
  const auto capacity = static_cast<std::uint32_t>((bytes - sizeof(abi::AioRing)) / sizeof(abi::IoEvent) - 1);
  const Ref<Process> process(task.process());
  const Ref<AioContexts> all = as_contexts(process->set_aio(Ref<ProcessResource>(TRY(make_ref<AioContexts>()))));
  const std::uint64_t id = TRY(map_ring(task, capacity));
  auto made = AioContext::make(id, requests, capacity);
  Result<> result = made.ok() ? Result<>() : Result<>(made.error());
  if (result.ok()) {
    const Ref<AioContext> fresh = std::move(made).release();
    result = context.store(id);
    if (result.ok()) result = all->add(fresh);
  }
  const Ref<AddressSpace> mm = task.mm_ref();
  if (!result.ok()) (void)mm->unmap(id, kPageSize);
  return result;
}

Result<> sys_io_destroy(Task& task, std::uint64_t context) {
  const Ref<AioContexts> all = TRY(contexts_of(task));
  const Ref<AioContext> gone = TRY(all->take(context));
  gone->shut_down();
  const Ref<AddressSpace> mm = task.mm_ref();
  (void)mm->unmap(context, kPageSize);
  return {};
}

Result<std::uint64_t> sys_io_submit(Task& task, std::uint64_t context, std::int64_t count, UserPtr<const std::uint64_t> blocks) {
  if (count < 0) return Errno::inval;
  const Ref<AioContext> found = TRY(find_context(task, context));
  std::uint64_t done = 0;
  Result<> result;
  for (; done < static_cast<std::uint64_t>(count); ++done) {
    auto place = blocks.at(done);
    result = place.ok() ? Result<>() : Result<>(place.error());
    if (!result.ok()) break;
    auto address = std::move(place).release().load();
    result = address.ok() ? submit(task, *found, std::move(address).release()) : Result<>(address.error());
    if (!result.ok()) break;
  }
  if (done == 0) TRY(result);
  return done;
}

Result<> sys_io_cancel(Task& task, std::uint64_t context, std::uint64_t block, UserPtr<abi::IoEvent>) {
  const abi::IoControlBlock value = TRY(UserPtr<abi::IoControlBlock>(block).load());
  if (value.key != 0) return Errno::inval;
  const Ref<AioContext> found = TRY(find_context(task, context));
  return found->cancel(block);
}

Result<std::uint32_t> sys_io_getevents(Task& task, std::uint64_t context, std::int64_t least, std::int64_t most, UserPtr<abi::IoEvent> events,
                                       UserPtr<const abi::Timespec> timeout) {
  return fetch(task, context, least, most, events, timeout);
}

Result<std::uint32_t> sys_io_pgetevents(Task& task, std::uint64_t context, std::int64_t least, std::int64_t most, UserPtr<abi::IoEvent> events,
                                        UserPtr<const abi::Timespec> timeout, UserPtr<const abi::SigsetArgument> mask) {
  if (!mask.is_null()) {
    const abi::SigsetArgument argument = TRY(mask.load());
    if (argument.address != 0) {
      if (argument.size != sizeof(std::uint64_t)) return Errno::inval;
      task.set_temporary_mask(TRY(UserPtr<const std::uint64_t>(argument.address).load()));
    }
  }
  auto result = fetch(task, context, least, most, events, timeout);
  if (!result.ok() && result.error() == Errno::intr) return Errno::restart_nohand;
  task.restore_signal_mask();
  return result;
}

}  // namespace kernel
