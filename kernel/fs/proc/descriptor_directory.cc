// /proc/PID/fd and /proc/PID/fdinfo.
#include <array>

#include "abi/fs.h"
#include "kernel/fs/proc/procfs.h"
#include "kernel/vfs/dentry_cache.h"
#include "kernel/vfs/fd_table.h"

namespace kernel {
namespace {

// The table behind a process's descriptors, or ESRCH.
Result<RefPtr<ProcessResource>> table_of(const Ref<Process>& process, Pid tid) {
  const ProcSubject subject = TRY(proc_subject(process, tid));
  return subject.task ? subject.task->files_ref() : RefPtr<ProcessResource>();
}
FdTable& as_table(ProcessResource& resource) {
  // SAFETY: the descriptor resource of every task is an FdTable (fd_table.h).
  return static_cast<FdTable&>(resource);
}

Result<RefPtr<OpenFile>> file_of(const Ref<Process>& process, Pid tid, Fd fd) {
  const RefPtr<ProcessResource> table = TRY(table_of(process, tid));
  if (!table) return Errno::noent;
  auto file = as_table(*table).get_any(fd);
  if (!file.ok()) return Errno::noent;
  return file;
}

// A file without a place in the tree (a pipe, a socket, a host stream), as something that a path can lead to.
class DescriptorTarget final : public PseudoInode {
 public:
  DescriptorTarget(Ref<Superblock> superblock, const Attributes& attributes, Ref<OpenFile> file)
      : PseudoInode(superblock, attributes.ino, attributes.mode, {.uid = attributes.uid, .gid = attributes.gid}), shown_(attributes), file_(file) {}
  Attributes attributes() const override { return shown_; }
  std::uint64_t size() override { return shown_.size; }
  Result<Ref<OpenFile>> open(Dentry&, std::uint32_t flags) override { return file_->reopen(flags); }

 private:
  const Attributes shown_;
  const Ref<OpenFile> file_;
};

class DescriptorLink final : public PseudoLink {
 public:
  DescriptorLink(Ref<Superblock> superblock, std::uint64_t ino, Mode mode, Ref<Process> process, Pid tid, Fd fd)
      : PseudoLink(superblock, ino, mode_of(FileType::symlink) | mode), process_(process), tid_(tid), fd_(fd) {}
  Result<> target(Text& out) override {
    const RefPtr<OpenFile> file = TRY(file_of(process_, tid_, fd_));
    if (file->dentry()) return show_path(*file->dentry(), out);
    std::array<char, 128> text;
    const std::size_t count = file->describe(text);
    out << std::string_view(text.data(), count);
    return {};
  }
  Result<RefPtr<Dentry>> follow() override {
    const RefPtr<OpenFile> file = TRY(file_of(process_, tid_, fd_));
    if (file->dentry()) return file->dentry();
    const Attributes attributes = TRY(file->attributes());
    const Ref<Inode> inode(TRY(make_ref<DescriptorTarget>(Ref<Superblock>(superblock()), attributes, file.as_ref())));
    return RefPtr<Dentry>(TRY(make_root_dentry(inode)));
  }

 private:
  const Ref<Process> process_;
  const Pid tid_;
  const Fd fd_;
};

class DescriptorInfo final : public TextInode {
 public:
  DescriptorInfo(Ref<Superblock> superblock, std::uint64_t ino, Ref<Process> process, Pid tid, Fd fd)
      : TextInode(superblock, ino, mode_of(FileType::regular) | 0400), process_(process), tid_(tid), fd_(fd) {}
  Result<> show(Text& out) override {
    const RefPtr<OpenFile> file = TRY(file_of(process_, tid_, fd_));
    const RefPtr<ProcessResource> table = TRY(table_of(process_, tid_));
    std::uint32_t flags = file->flags() | (file->inode() ? abi::kOLargeFile : 0);  // open(2) adds it
    if (table) {
      auto close_on_exec = as_table(*table).close_on_exec(fd_);
      if (close_on_exec.ok() && std::move(close_on_exec).release()) flags |= abi::kOCloExec;
    }
    std::int64_t position = 0;
    if (!file->is_stream() && !file->is_path_only()) {
      auto at = file->seek(0, abi::kSeekCur);
      if (at.ok()) position = std::move(at).release();
    }
    out << "pos:\t" << position << "\nflags:\t0";
    out.octal(flags) << "\nmnt_id:\t" << (file->inode() ? file->inode()->superblock().device() : 1) << "\nino:\t" << TRY(file->attributes()).ino << '\n';
    String more;
    TRY(file->describe_info(more));
    out << more.view();
    return {};
  }

 private:
  const Ref<Process> process_;
  const Pid tid_;
  const Fd fd_;
};

class DescriptorDirectory final : public PseudoInode {
 public:
  DescriptorDirectory(Ref<Superblock> superblock, std::uint64_t ino, Ref<Process> process, Pid tid, bool info)
      : PseudoInode(superblock, ino, mode_of(FileType::directory) | (info ? 0555U : 0500U)), process_(process), tid_(tid), info_(info) {}

  Result<Ref<Inode>> lookup(std::string_view name) override {
    auto number = parse_decimal(name);
    if (!number.ok() || (name.size() > 1 && name.front() == '0')) return Errno::noent;
    const std::uint64_t value = std::move(number).release();
    if (value > kHighest) return Errno::noent;
    const Fd fd{static_cast<std::int32_t>(value)};
    const RefPtr<OpenFile> file = TRY(file_of(process_, tid_, fd));
    const Ref<Superblock> here(superblock());
    const std::uint64_t number_of_inode = ino_of(value);
    if (info_) return Ref<Inode>(TRY(make_ref<DescriptorInfo>(here, number_of_inode, process_, tid_, fd)));
    const Mode mode = 0100U | (file->may_read() ? 0400U : 0U) | (file->may_write() ? 0200U : 0U);
    return Ref<Inode>(TRY(make_ref<DescriptorLink>(here, number_of_inode, mode, process_, tid_, fd)));
  }

  Result<> read_directory(std::uint64_t offset, DirectorySink& sink) override {
    const RefPtr<ProcessResource> table = TRY(table_of(process_, tid_));
    if (!table) return {};
    auto from = static_cast<std::uint32_t>(offset < 2 ? 0 : offset - 2);
    for (;;) {
      auto next = as_table(*table).next_used(from);
      if (!next.ok()) return {};
      const auto fd = static_cast<std::uint32_t>(std::move(next).release());
      const Digits name(fd);
      if (!sink.add({.name = name.view(), .ino = ino_of(fd), .type = info_ ? FileType::regular : FileType::symlink, .next = std::uint64_t{fd} + 3}))
        return {};
      from = fd + 1;
    }
  }

 private:
  static constexpr std::uint64_t kHighest = 0x0fff'fffe;
  std::uint64_t ino_of(std::uint64_t fd) const {
    return proc_ino(tid_ == Pid{0} ? process_->pid() : tid_, info_ ? ProcInode::descriptor_info : ProcInode::descriptor, static_cast<std::uint32_t>(fd) + 1);
  }
  const Ref<Process> process_;
  const Pid tid_;
  const bool info_;
};

}  // namespace

Result<Ref<Inode>> make_descriptor_directory(Ref<Superblock> superblock, Ref<Process> process, Pid tid, bool info) {
  const std::uint64_t ino = proc_ino(tid == Pid{0} ? process->pid() : tid, info ? ProcInode::descriptor_info : ProcInode::descriptor, 0);
  return Ref<Inode>(TRY(make_ref<DescriptorDirectory>(superblock, ino, process, tid, info)));
}

}  // namespace kernel
