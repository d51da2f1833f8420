#include "kernel/syscall/exec.h"

#include "abi/fs.h"
#include "kernel/base/string.h"
#include "kernel/task/exec.h"
#include "kernel/vfs/io.h"
#include "kernel/vfs/path.h"

namespace kernel {
namespace {

// An executable of the VFS. Writers are kept out as long as it lives (ETXTBSY).
class PathExecFile final : public ExecFile {
 public:
  PathExecFile(Ref<OpenFile> file, Ref<Inode> inode, String path) : file_(file), inode_(inode), path_(std::move(path)) {}
  ~PathExecFile() override { inode_->allow_write(); }

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) override {
    IoSink sink(into);
    return file_->read_at(sink, offset);
  }
  std::uint64_t size() override { return inode_->size(); }
  Result<Ref<FileBacking>> backing() override { return file_->mapping(); }
  std::string_view path() const override { return path_.view(); }

 private:
  const Ref<OpenFile> file_;
  const Ref<Inode> inode_;
  const String path_;
};

class PathExecFiles final : public ExecFiles {
 public:
  Result<Ref<ExecFile>> open(Task& task, Fd directory, std::string_view path, std::uint32_t at_flags) override {
    const std::uint32_t walk = ((at_flags & abi::kAtSymlinkNoFollow) == 0 ? kWalkFollow : 0) | ((at_flags & abi::kAtEmptyPath) != 0 ? kWalkEmpty : 0);
    const Ref<OpenFile> file = TRY(open_executable(task, directory, path, walk));
    const Ref<Inode> inode = file->inode().as_ref();
    String seen = TRY(path_of(task, *file, path));
    TRY(inode->deny_write());
    auto made = make_ref<PathExecFile>(file, inode, std::move(seen));
    if (!made.ok()) {
      inode->allow_write();
      return made.error();
    }
    return Ref<ExecFile>(std::move(made).release());
  }

 private:
  static Result<String> path_of(Task& task, OpenFile& file, std::string_view given) {
    if (!file.dentry()) return String::from(given);
    const Own<PathPage> page = TRY(make_own<PathPage>());
    const PathText text = TRY(path_seen_by(task, *file.dentry(), page->bytes));
    return String::from(text.text);
  }
};

constinit PathExecFiles the_files;

}  // namespace

ExecFiles& path_exec_files() { return the_files; }

Result<> sys_execve(Task& task, UserPtr<const char> path, UserPtr<const std::uint64_t> argv, UserPtr<const std::uint64_t> envp,
                    frame::TrapFrame& frame) {
  return sys_execveat(task, kAtFdCwd, path, argv, envp, 0, frame);
}

Result<> sys_execveat(Task& task, Fd directory, UserPtr<const char> path, UserPtr<const std::uint64_t> argv,
                      UserPtr<const std::uint64_t> envp, std::uint32_t flags, frame::TrapFrame& frame) {
  if ((flags & ~(abi::kAtEmptyPath | abi::kAtSymlinkNoFollow)) != 0) return Errno::inval;
  [[clang::uninitialized]] PathBuffer buffer;
  const std::string_view text = TRY(buffer.load(path, (flags & abi::kAtEmptyPath) != 0));
  // The file's errors come before those of the arguments (do_open_execat is Linux's first step).
  TRY(the_files.open(task, directory, text, flags));
  ExecRequest request;
  request.directory = directory;
  request.path = text;
  request.at_flags = flags;
  const std::size_t limit = argument_limit(task.process());
  TRY(request.arguments.add_all_from_user(argv, limit));
  TRY(request.environment.add_all_from_user(envp, limit - std::min(limit, request.arguments.cost())));
  return execute(task, frame, request);
}

}  // namespace kernel
