// /proc (proc(5)): processes and threads of the instance, and what programs ask of the system.
#ifndef KERNEL_FS_PROC_PROCFS_H
#define KERNEL_FS_PROC_PROCFS_H

#include <cstdint>
#include <string_view>

#include "kernel/base/result.h"
#include "kernel/fs/pseudo/tree.h"
#include "kernel/task/process.h"
#include "kernel/task/task.h"

namespace kernel {

// Boot, before mount_root(): the types "procfs" and "proc". ENOMEM.
Result<> register_proc_file_system();

// Whom a file below /proc/PID is about. Looked up afresh for every read: neither thread nor process need exist any more.
struct ProcSubject {
  Ref<Process> process;
  RefPtr<Task> task;  // the thread (of /proc/PID: the leader, or else any); null if there is none left
  bool is_thread;     // below /proc/PID/task
};

// Inode numbers: process or thread id, what kind of thing, which one.
enum class ProcInode : std::uint64_t { entry = 0, descriptor = 1, descriptor_info = 2, thread_entry = 3, name_space = 4 };
constexpr std::uint64_t proc_ino(Pid id, ProcInode kind, std::uint32_t which) {
  return (static_cast<std::uint64_t>(id) << 32) | (static_cast<std::uint64_t>(kind) << 28) | (which & 0x0fff'ffff);
}

// Directories (process_directory.cc, descriptor_directory.cc). `tid` 0 = the process as a whole.
Result<Ref<Inode>> make_process_directory(Ref<Superblock> superblock, Ref<Process> process, Pid tid);
Result<Ref<Inode>> make_descriptor_directory(Ref<Superblock> superblock, Ref<Process> process, Pid tid, bool info);
// ESRCH if it is gone.
Result<ProcSubject> proc_subject(const Ref<Process>& process, Pid tid);
// The path of a file as the running task sees it, with " (deleted)" if it has no name any more.
Result<> show_path(const Dentry& dentry, Text& out);

// Texts of /proc/PID. Each is called with its subject in the context of the reader; no locks.
using ProcShow = Result<> (*)(const ProcSubject& subject, Text& out);
namespace proc {
// process_status.cc
Result<> show_status(const ProcSubject& subject, Text& out);
Result<> show_stat(const ProcSubject& subject, Text& out);
Result<> show_statm(const ProcSubject& subject, Text& out);
char state_letter(const ProcSubject& subject);
// process_memory.cc
Result<> show_maps(const ProcSubject& subject, Text& out);
Result<> show_smaps(const ProcSubject& subject, Text& out);
Result<> show_smaps_rollup(const ProcSubject& subject, Text& out);
Result<> show_cmdline(const ProcSubject& subject, Text& out);
Result<> show_environ(const ProcSubject& subject, Text& out);
Result<> show_auxv(const ProcSubject& subject, Text& out);
Result<Ref<Inode>> make_memory_inode(Ref<Superblock> superblock, Ref<Process> process, std::uint64_t ino);
// mounts.cc
Result<> show_mounts(const ProcSubject& subject, Text& out);
Result<> show_mountinfo(const ProcSubject& subject, Text& out);
// process_misc.cc
Result<> show_comm(const ProcSubject& subject, Text& out);
Result<> store_comm(const ProcSubject& subject, std::string_view text);
Result<> show_limits(const ProcSubject& subject, Text& out);
Result<> show_io(const ProcSubject& subject, Text& out);
Result<> show_sched(const ProcSubject& subject, Text& out);
Result<> show_schedstat(const ProcSubject& subject, Text& out);
Result<> show_oom_score_adj(const ProcSubject& subject, Text& out);
Result<> store_oom_score_adj(const ProcSubject& subject, std::string_view text);
Result<> show_oom_score(const ProcSubject& subject, Text& out);
Result<> show_oom_adj(const ProcSubject& subject, Text& out);
Result<> show_timer_slack(const ProcSubject& subject, Text& out);
Result<> show_personality(const ProcSubject& subject, Text& out);
Result<> show_children(const ProcSubject& subject, Text& out);
// sysvipc.cc
Result<> show_sysv_shm(Text& out, std::uint32_t);
Result<> show_sysv_sem(Text& out, std::uint32_t);
Result<> show_sysv_msg(Text& out, std::uint32_t);
Result<> show_sem_limits(Text& out, std::uint32_t);
Result<> store_sem_limits(std::string_view text);
}  // namespace proc

// Tables of what is not about a process (system.cc, sysctl.cc, net.cc).
TreeTable proc_system_tree();
TreeTable proc_sysctl_tree();  // paths begin with "sys/"
TreeTable proc_net_tree();

// The first whole number in what a program wrote; spaces and a final newline may surround it. EINVAL.
Result<std::int64_t> parse_written_number(std::string_view text);

}  // namespace kernel
#endif  // KERNEL_FS_PROC_PROCFS_H
