// The parts of the file layer that know tasks, over as much of a task as they need.
#include "abi/process.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/task.h"
#include "kernel/vfs/fd_table.cc"     // NOLINT: built here so that its uses of Task meet the stand-ins below
#include "kernel/vfs/fs_context.cc"  // NOLINT

#include "kernel/vfs/file_owner.h"

namespace kernel {
Result<Ref<FileOwner>> own_by_caller(OpenFile& file) { return file.owner(); }
void FileOwner::send(Fd, std::int32_t) const {}
bool FileOwner::on_wake(std::uint32_t) { return false; }
void FileOwner::run_deferred() {}
void FileOwner::on_file_closed(OpenFile&) {}
abi::RlimitPair Process::rlimit(abi::Rlimit) const { return {.current = 1024, .maximum = 1024}; }
}  // namespace kernel
