// /proc/sysvipc and the limits of IPC in /proc/sys.
#include <array>

#include "kernel/fs/proc/procfs.h"
#include "kernel/task/sysv_msg.h"
#include "kernel/task/sysv_sem.h"
#include "kernel/task/sysv_shm.h"

namespace kernel {
namespace {

Text& signed_right(Text& out, std::int64_t number, std::size_t width) {
  if (number >= 0) return out.right(static_cast<std::uint64_t>(number), width);
  const Digits digits(0 - static_cast<std::uint64_t>(number));
  out.spaces(width > digits.view().size() + 1 ? width - digits.view().size() - 1 : 0);
  return out << '-' << digits.view();
}

Text& column(Text& out, std::uint64_t number, std::size_t width) {
  out << ' ';
  return out.right(number, width);
}

void put_head(Text& out, const abi::IpcPerm& perm, std::int32_t id) {
  signed_right(out, perm.key, 10) << ' ';
  signed_right(out, id, 10) << "  ";
  const Digits mode(perm.mode, 8);
  out.spaces(mode.view().size() < 4 ? 4 - mode.view().size() : 0);
  out << mode.view();
}

void put_owners(Text& out, const abi::IpcPerm& perm) {
  for (const std::uint32_t each : {perm.uid, perm.gid, perm.cuid, perm.cgid}) column(out, each, 5);
}

std::uint64_t plain(std::int64_t number) { return static_cast<std::uint64_t>(number); }

}  // namespace

namespace proc {

Result<> show_sysv_shm(Text& out, std::uint32_t) {
  out << "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime"
         "                   rss                  swap\n";
  abi::ShmIdDs ds{};
  std::int32_t id = 0;
  std::uint64_t resident = 0;
  for (std::size_t index = 0; shm_next(index, ds, id, resident);) {
    put_head(out, ds.perm, id);
    column(out, ds.segsz, 21);
    column(out, plain(ds.cpid), 5);
    column(out, plain(ds.lpid), 5) << ' ';
    column(out, ds.nattch, 5);
    put_owners(out, ds.perm);
    for (const std::int64_t each : {ds.atime, ds.dtime, ds.ctime}) column(out, plain(each), 10);
    column(out, resident, 21);
    column(out, 0, 21) << '\n';
  }
  return {};
}

Result<> show_sysv_sem(Text& out, std::uint32_t) {
  out << "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
  abi::SemIdDs ds{};
  std::int32_t id = 0;
  for (std::size_t index = 0; sem_next(index, ds, id);) {
    put_head(out, ds.perm, id);
    column(out, ds.nsems, 10);
    put_owners(out, ds.perm);
    for (const std::int64_t each : {ds.otime, ds.ctime}) column(out, plain(each), 10);
    out << '\n';
  }
  return {};
}

Result<> show_sysv_msg(Text& out, std::uint32_t) {
  out << "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n";
  abi::MsqIdDs ds{};
  std::int32_t id = 0;
  for (std::size_t index = 0; msg_next(index, ds, id);) {
    put_head(out, ds.perm, id);
    out << ' ';
    column(out, ds.cbytes, 10);
    column(out, ds.qnum, 10);
    column(out, plain(ds.lspid), 5);
    column(out, plain(ds.lrpid), 5);
    put_owners(out, ds.perm);
    for (const std::int64_t each : {ds.stime, ds.rtime, ds.ctime}) column(out, plain(each), 10);
    out << '\n';
  }
  return {};
}

Result<> show_sem_limits(Text& out, std::uint32_t) {
  const IpcLimits& limits = ipc_limits();
  out << limits.semmsl.load() << '\t' << limits.semmns.load() << '\t' << limits.semopm.load() << '\t' << limits.semmni.load() << '\n';
  return {};
}

// Four numbers, as they are shown; the missing ones stay.
Result<> store_sem_limits(std::string_view text) {
  IpcLimits& limits = ipc_limits();
  constexpr std::uint64_t kMost = 0x7fffffff;
  const std::array<std::atomic<std::uint64_t>*, 4> fields{&limits.semmsl, &limits.semmns, &limits.semopm, &limits.semmni};
  for (std::atomic<std::uint64_t>* field : fields) {
    const std::size_t begin = text.find_first_not_of(" \t\n");
    if (begin == std::string_view::npos) return {};
    text.remove_prefix(begin);
    const std::size_t end = std::min(text.find_first_of(" \t\n"), text.size());
    const std::int64_t value = TRY(parse_written_number(text.substr(0, end)));
    if (value < 0 || static_cast<std::uint64_t>(value) > kMost || (field == &limits.semmni && static_cast<std::uint64_t>(value) > kIpcMost)) return Errno::inval;
    field->store(static_cast<std::uint64_t>(value));
    text.remove_prefix(end);
  }
  return {};
}

}  // namespace proc
}  // namespace kernel
