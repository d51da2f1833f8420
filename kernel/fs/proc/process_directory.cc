// /proc/PID and /proc/PID/task/TID.
#include <algorithm>
#include <array>

#include "abi/fs.h"
#include "kernel/fs/proc/procfs.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/exec_files.h"
#include "kernel/vfs/fs_context.h"
#include "kernel/vfs/path.h"

namespace kernel {
namespace {

enum class Kind : std::uint8_t { text, exe, cwd, root, descriptors, descriptor_info, tasks, name_spaces, net, memory };
constexpr unsigned kProcessOnly = 1;

struct ProcessEntry {
  std::string_view name;
  Kind kind;
  Mode mode;
  ProcShow show = nullptr;
  Result<> (*store)(const ProcSubject&, std::string_view) = nullptr;
  std::string_view text = {};  // instead of show
  unsigned flags = 0;
};

constexpr auto kEntries = std::to_array<ProcessEntry>({
    {.name = "task", .kind = Kind::tasks, .mode = 0555, .flags = kProcessOnly},
    {.name = "fd", .kind = Kind::descriptors, .mode = 0500},
    {.name = "fdinfo", .kind = Kind::descriptor_info, .mode = 0555},
    {.name = "ns", .kind = Kind::name_spaces, .mode = 0511},
    {.name = "net", .kind = Kind::net, .mode = 0555},
    {.name = "environ", .kind = Kind::text, .mode = 0400, .show = proc::show_environ},
    {.name = "auxv", .kind = Kind::text, .mode = 0400, .show = proc::show_auxv},
    {.name = "status", .kind = Kind::text, .mode = 0444, .show = proc::show_status},
    {.name = "personality", .kind = Kind::text, .mode = 0400, .show = proc::show_personality},
    {.name = "limits", .kind = Kind::text, .mode = 0444, .show = proc::show_limits},
    {.name = "sched", .kind = Kind::text, .mode = 0644, .show = proc::show_sched},
    {.name = "comm", .kind = Kind::text, .mode = 0644, .show = proc::show_comm, .store = proc::store_comm},
    {.name = "cmdline", .kind = Kind::text, .mode = 0444, .show = proc::show_cmdline},
    {.name = "stat", .kind = Kind::text, .mode = 0444, .show = proc::show_stat},
    {.name = "statm", .kind = Kind::text, .mode = 0444, .show = proc::show_statm},
    {.name = "maps", .kind = Kind::text, .mode = 0444, .show = proc::show_maps},
    {.name = "smaps", .kind = Kind::text, .mode = 0444, .show = proc::show_smaps},
    {.name = "smaps_rollup", .kind = Kind::text, .mode = 0444, .show = proc::show_smaps_rollup},
    {.name = "mem", .kind = Kind::memory, .mode = 0600},
    {.name = "cwd", .kind = Kind::cwd, .mode = 0777},
    {.name = "root", .kind = Kind::root, .mode = 0777},
    {.name = "exe", .kind = Kind::exe, .mode = 0777},
    {.name = "mounts", .kind = Kind::text, .mode = 0444, .show = proc::show_mounts},
    {.name = "mountinfo", .kind = Kind::text, .mode = 0444, .show = proc::show_mountinfo},
    {.name = "children", .kind = Kind::text, .mode = 0444, .show = proc::show_children},
    {.name = "wchan", .kind = Kind::text, .mode = 0444, .text = "0"},
    {.name = "schedstat", .kind = Kind::text, .mode = 0444, .show = proc::show_schedstat},
    {.name = "cgroup", .kind = Kind::text, .mode = 0444, .text = "0::/\n"},
    {.name = "oom_score", .kind = Kind::text, .mode = 0444, .show = proc::show_oom_score},
    {.name = "oom_adj", .kind = Kind::text, .mode = 0644, .show = proc::show_oom_adj},
    {.name = "oom_score_adj", .kind = Kind::text, .mode = 0644, .show = proc::show_oom_score_adj, .store = proc::store_oom_score_adj},
    {.name = "loginuid", .kind = Kind::text, .mode = 0644, .text = "4294967295"},
    {.name = "sessionid", .kind = Kind::text, .mode = 0444, .text = "4294967295"},
    {.name = "coredump_filter", .kind = Kind::text, .mode = 0644, .text = "00000033\n", .flags = kProcessOnly},
    {.name = "io", .kind = Kind::text, .mode = 0400, .show = proc::show_io},
    {.name = "uid_map", .kind = Kind::text, .mode = 0644, .text = "         0          0 4294967295\n"},
    {.name = "gid_map", .kind = Kind::text, .mode = 0644, .text = "         0          0 4294967295\n"},
    {.name = "setgroups", .kind = Kind::text, .mode = 0644, .text = "allow\n"},
    {.name = "timerslack_ns", .kind = Kind::text, .mode = 0666, .show = proc::show_timer_slack, .flags = kProcessOnly},
});

constexpr std::array<std::string_view, 7> kNameSpaces{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"};
constexpr std::uint32_t kFirstNameSpace = 4026531835U;  // the numbers of Linux's initial ones

class ProcessText final : public TextInode {
 public:
  ProcessText(Ref<Superblock> superblock, std::uint64_t ino, Owner owner, const ProcessEntry& entry, Ref<Process> process, Pid tid)
      : TextInode(superblock, ino, mode_of(FileType::regular) | entry.mode, owner), entry_(entry), process_(process), tid_(tid) {}
  Result<> show(Text& out) override {
    const ProcSubject subject = TRY(proc_subject(process_, tid_));
    if (entry_.show != nullptr) return entry_.show(subject, out);
    out << entry_.text;
    return {};
  }
  Result<> store(std::string_view text) override {
    if (entry_.store == nullptr) return Errno::perm;
    return entry_.store(TRY(proc_subject(process_, tid_)), text);
  }

 private:
  const ProcessEntry& entry_;  // of the constant table
  const Ref<Process> process_;
  const Pid tid_;
};

// exe, cwd, root: links that lead to a file whatever their text says.
class ProcessLink final : public PseudoLink {
 public:
  ProcessLink(Ref<Superblock> superblock, std::uint64_t ino, Kind kind, Ref<Process> process, Pid tid)
      : PseudoLink(superblock, ino, mode_of(FileType::symlink) | 0777), kind_(kind), process_(process), tid_(tid) {}
  Result<> target(Text& out) override {
    if (kind_ == Kind::exe) {
      const RefPtr<ExecFile> executable = process_->executable();
      if (!executable || !process_->mm()) return Errno::noent;
      out << executable->path();
      return {};
    }
    return show_path(*TRY(place()), out);
  }
  Result<RefPtr<Dentry>> follow() override {
    if (kind_ == Kind::exe) return RefPtr<Dentry>();  // by its path
    return RefPtr<Dentry>(TRY(place()));
  }

 private:
  Result<Ref<Dentry>> place() {
    const ProcSubject subject = TRY(proc_subject(process_, tid_));
    const RefPtr<ProcessResource> resource = subject.task ? subject.task->fs_ref() : nullptr;
    if (!resource) return Errno::noent;
    // SAFETY: the file-system resource of every task is an FsContext (fs_context.h).
    const auto& context = static_cast<const FsContext&>(*resource);
    return kind_ == Kind::cwd ? context.working_directory() : context.root();
  }

  const Kind kind_;
  const Ref<Process> process_;
  const Pid tid_;
};

class NameSpaceLink final : public PseudoLink {
 public:
  NameSpaceLink(Ref<Superblock> superblock, std::uint64_t ino, std::uint32_t index)
      : PseudoLink(superblock, ino, mode_of(FileType::symlink) | 0777), index_(index) {}
  Result<> target(Text& out) override {
    out << kNameSpaces[index_] << ":[" << kFirstNameSpace + index_ << ']';
    return {};
  }

 private:
  const std::uint32_t index_;
};

class NameSpaceDirectory final : public PseudoInode {
 public:
  NameSpaceDirectory(Ref<Superblock> superblock, std::uint64_t ino, Pid id)
      : PseudoInode(superblock, ino, mode_of(FileType::directory) | 0511), id_(id) {}
  Result<Ref<Inode>> lookup(std::string_view name) override {
    for (std::uint32_t i = 0; i < kNameSpaces.size(); ++i)
      if (kNameSpaces[i] == name) return Ref<Inode>(TRY(make_ref<NameSpaceLink>(Ref<Superblock>(superblock()), number(i), i)));
    return Errno::noent;
  }
  Result<> read_directory(std::uint64_t offset, DirectorySink& sink) override {
    for (std::uint64_t i = offset < 2 ? 0 : offset - 2; i < kNameSpaces.size(); ++i)
      if (!sink.add({.name = kNameSpaces[i], .ino = number(static_cast<std::uint32_t>(i)), .type = FileType::symlink, .next = i + 3})) return {};
    return {};
  }

 private:
  std::uint64_t number(std::uint32_t index) const { return proc_ino(id_, ProcInode::name_space, index); }
  const Pid id_;
};

// /proc/PID/task
class TaskDirectory final : public PseudoInode {
 public:
  TaskDirectory(Ref<Superblock> superblock, std::uint64_t ino, Owner owner, Ref<Process> process)
      : PseudoInode(superblock, ino, mode_of(FileType::directory) | 0555, owner), process_(process) {}
  Result<Ref<Inode>> lookup(std::string_view name) override {
    auto number = parse_decimal(name);
    if (!number.ok()) return Errno::noent;
    const std::uint64_t tid = std::move(number).release();
    if (tid == 0 || tid >= static_cast<std::uint64_t>(kPidMax)) return Errno::noent;
    const RefPtr<Task> task = find_task(Pid{static_cast<std::int32_t>(tid)});
    if (!task || &task->process() != process_.get()) return Errno::noent;
    return make_process_directory(Ref<Superblock>(superblock()), process_, task->tid());
  }
  Result<> read_directory(std::uint64_t offset, DirectorySink& sink) override {
    Vec<std::uint64_t> ids;
    for (const Ref<Task>& task : TRY(process_->threads())) {
      // Threads come by age, so the ids are nearly sorted.
      const auto tid = static_cast<std::uint64_t>(task->tid());
      std::size_t at = ids.size();
      while (at > 0 && ids[at - 1] > tid) --at;
      TRY(ids.try_insert(at, tid));
    }
    for (const std::uint64_t tid : ids) {
      if (tid + 2 < offset) continue;
      const Digits name(tid);
      const std::uint64_t ino = proc_ino(Pid{static_cast<std::int32_t>(tid)}, ProcInode::thread_entry, 0);
      if (!sink.add({.name = name.view(), .ino = ino, .type = FileType::directory, .next = tid + 3})) return {};
    }
    return {};
  }

 private:
  const Ref<Process> process_;
};

Owner owner_of(const Ref<Process>& process) {
  const RefPtr<Task> task = process->any_thread();
  if (!task) return {};
  const Ref<const Credentials> credentials = task->credentials_ref();
  return {.uid = credentials->euid, .gid = credentials->egid};
}

FileType type_of_kind(Kind kind) {
  switch (kind) {
    case Kind::text:
    case Kind::memory: return FileType::regular;
    case Kind::exe:
    case Kind::cwd:
    case Kind::root: return FileType::symlink;
    default: return FileType::directory;
  }
}

class ProcessDirectory final : public PseudoInode {
 public:
  ProcessDirectory(Ref<Superblock> superblock, Owner owner, Ref<Process> process, Pid tid)
      : PseudoInode(superblock, proc_ino(id(*process, tid), kind(tid), 0), mode_of(FileType::directory) | 0555, owner), process_(process), tid_(tid) {}

  Result<Ref<Inode>> lookup(std::string_view name) override {
    for (std::uint32_t i = 0; i < kEntries.size(); ++i) {
      const ProcessEntry& entry = kEntries[i];
      if (entry.name != name) continue;
      if (!shows(entry)) return Errno::noent;
      return make(entry, proc_ino(id(*process_, tid_), kind(tid_), i + 1));
    }
    return Errno::noent;
  }
  Process* process_shown() override { return tid_ == Pid{0} ? process_.get() : nullptr; }
  Result<> read_directory(std::uint64_t offset, DirectorySink& sink) override {
    if (process_->state() == ProcessState::reaped) return Errno::noent;
    for (std::uint64_t i = offset < 2 ? 0 : offset - 2; i < kEntries.size(); ++i) {
      const ProcessEntry& entry = kEntries[i];
      if (!shows(entry)) continue;
      const std::uint64_t ino = proc_ino(id(*process_, tid_), kind(tid_), static_cast<std::uint32_t>(i) + 1);
      if (!sink.add({.name = entry.name, .ino = ino, .type = type_of_kind(entry.kind), .next = i + 3})) return {};
    }
    return {};
  }

 private:
  static Pid id(const Process& process, Pid tid) { return tid == Pid{0} ? process.pid() : tid; }
  static ProcInode kind(Pid tid) { return tid == Pid{0} ? ProcInode::entry : ProcInode::thread_entry; }
  bool shows(const ProcessEntry& entry) const {
    // /proc/PID/children does not exist, only /proc/PID/task/TID/children does.
    if (entry.name == "children") return tid_ != Pid{0};
    return tid_ == Pid{0} || (entry.flags & kProcessOnly) == 0;
  }
  Result<Ref<Inode>> make(const ProcessEntry& entry, std::uint64_t ino) {
    TRY(proc_subject(process_, tid_));
    const Ref<Superblock> here(superblock());
    const Owner owner{.uid = uid(), .gid = gid()};
    switch (entry.kind) {
      case Kind::text: return Ref<Inode>(TRY(make_ref<ProcessText>(here, ino, owner, entry, process_, tid_)));
      case Kind::memory: return proc::make_memory_inode(here, process_, ino);
      case Kind::exe:
      case Kind::cwd:
      case Kind::root: return Ref<Inode>(TRY(make_ref<ProcessLink>(here, ino, entry.kind, process_, tid_)));
      case Kind::descriptors: return make_descriptor_directory(here, process_, tid_, false);
      case Kind::descriptor_info: return make_descriptor_directory(here, process_, tid_, true);
      case Kind::tasks: return Ref<Inode>(TRY(make_ref<TaskDirectory>(here, ino, owner, process_)));
      case Kind::name_spaces: return Ref<Inode>(TRY(make_ref<NameSpaceDirectory>(here, ino, id(*process_, tid_))));
      case Kind::net: return tree_directory(here, proc_net_tree(), {});
    }
    return Errno::noent;
  }

  const Ref<Process> process_;
  const Pid tid_;
};

}  // namespace

Result<ProcSubject> proc_subject(const Ref<Process>& process, Pid tid) {
  if (process->state() == ProcessState::reaped) return Errno::srch;
  RefPtr<Task> task = find_task(tid == Pid{0} ? process->pid() : tid);
  if (task && &task->process() != process.get()) task = nullptr;
  if (!task && tid != Pid{0}) return Errno::srch;
  if (!task) task = process->any_thread();
  return ProcSubject{.process = process, .task = task, .is_thread = tid != Pid{0}};
}

Result<> show_path(const Dentry& dentry, Text& out) {
  const Own<PathPage> page = TRY(make_own<PathPage>());
  const PathText path = TRY(path_seen_by(current_task(), dentry, page->bytes));
  out << path.text;
  if (path.deleted) out << " (deleted)";
  return {};
}

Result<Ref<Inode>> make_process_directory(Ref<Superblock> superblock, Ref<Process> process, Pid tid) {
  return Ref<Inode>(TRY(make_ref<ProcessDirectory>(superblock, owner_of(process), process, tid)));
}

}  // namespace kernel
