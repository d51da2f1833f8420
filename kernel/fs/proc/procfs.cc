#include "kernel/fs/proc/procfs.h"

#include <array>

#include "abi/fs.h"
#include "kernel/vfs/mount.h"

namespace kernel {
namespace {

constexpr std::uint64_t kSelfOffset = kTreeOffsetEnd, kThreadSelfOffset = kSelfOffset + 1, kNetOffset = kSelfOffset + 2,
                        kMountsOffset = kSelfOffset + 3, kSysOffset = kSelfOffset + 4, kPidOffset = kSelfOffset + 5;
constexpr std::uint64_t kRootIno = 1;

// /proc/self and the like: links whose text depends on the reader, or not.
struct NamedLink {
  std::string_view name;
  std::uint64_t offset;
};
constexpr std::array<NamedLink, 4> kLinks{{{"self", kSelfOffset}, {"thread-self", kThreadSelfOffset}, {"net", kNetOffset}, {"mounts", kMountsOffset}}};

class RootLink final : public PseudoLink {
 public:
  RootLink(Ref<Superblock> superblock, std::size_t index)
      : PseudoLink(superblock, kLinks[index].offset, mode_of(FileType::symlink) | 0777), index_(index) {}
  Result<> target(Text& out) override {
    const std::string_view name = kLinks[index_].name;
    const auto pid = static_cast<std::uint64_t>(current_task().process().pid());
    if (name == "self")
      out << pid;
    else if (name == "thread-self")
      out << pid << "/task/" << static_cast<std::uint64_t>(current_task().tid());
    else
      out << "self/" << name;
    return {};
  }

 private:
  const std::size_t index_;
};

class ProcRoot final : public PseudoInode {
 public:
  explicit ProcRoot(Ref<Superblock> superblock) : PseudoInode(superblock, kRootIno, mode_of(FileType::directory) | 0555) {}

  Result<Ref<Inode>> lookup(std::string_view name) override {
    const Ref<Superblock> here(superblock());
    for (std::size_t i = 0; i < kLinks.size(); ++i)
      if (kLinks[i].name == name) return Ref<Inode>(TRY(make_ref<RootLink>(here, i)));
    if (name == "sys") return tree_directory(here, proc_sysctl_tree(), "sys");
    if (name.front() >= '1' && name.front() <= '9') {
      auto number = parse_decimal(name);
      if (!number.ok()) return Errno::noent;
      const std::uint64_t pid = std::move(number).release();
      if (pid >= static_cast<std::uint64_t>(kPidMax)) return Errno::noent;
      return process(here, Pid{static_cast<std::int32_t>(pid)});
    }
    return tree_lookup(here, proc_system_tree(), {}, {}, name);
  }

  Result<> read_directory(std::uint64_t offset, DirectorySink& sink) override {
    if (offset < kTreeOffsetEnd && !TRY(tree_list(proc_system_tree(), {}, offset, sink))) return {};
    for (const NamedLink& link : kLinks) {
      if (offset > link.offset) continue;
      if (!sink.add({.name = link.name, .ino = link.offset, .type = FileType::symlink, .next = link.offset + 1})) return {};
    }
    if (offset <= kSysOffset && !sink.add({.name = "sys", .ino = kSysOffset, .type = FileType::directory, .next = kSysOffset + 1})) return {};
    const std::uint64_t first_pid = offset > kPidOffset ? offset - kPidOffset : 0;
    for (const Ref<Process>& process : TRY(all_processes())) {
      const auto pid = static_cast<std::uint64_t>(process->pid());
      if (pid < first_pid) continue;
      const Digits name(pid);
      if (!sink.add({.name = name.view(), .ino = proc_ino(process->pid(), ProcInode::entry, 0), .type = FileType::directory,
                     .next = kPidOffset + pid + 1}))
        return {};
    }
    return {};
  }

 private:
  // proc(5): threads other than leaders are not listed, but /proc/TID can be opened.
  static Result<Ref<Inode>> process(const Ref<Superblock>& here, Pid pid) {
    if (const RefPtr<Process> process = find_process(pid)) return make_process_directory(here, process.as_ref(), Pid{0});
    if (const RefPtr<Task> task = find_task(pid)) return make_process_directory(here, Ref<Process>(task->process()), Pid{0});
    return Errno::noent;
  }
};

Result<Ref<Inode>> make_root(Ref<PseudoSuperblock> superblock) { return Ref<Inode>(TRY(make_ref<ProcRoot>(superblock))); }

Result<Ref<Superblock>> make_procfs(std::string_view, std::string_view) { return make_pseudo_file_system("proc", abi::kMagicProc, make_root); }

}  // namespace

Result<> register_proc_file_system() {
  TRY(register_file_system({.name = "procfs", .make = make_procfs}));
  return register_file_system({.name = "proc", .make = make_procfs});
}

Result<std::int64_t> parse_written_number(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const std::uint64_t value = TRY(parse_decimal(text));
  if (value > 0x7fff'ffff'ffff'ffff) return Errno::inval;
  const auto number = static_cast<std::int64_t>(value);
  return negative ? -number : number;
}

}  // namespace kernel
