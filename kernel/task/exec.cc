#include "kernel/task/exec.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "abi/fs.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/cpu.h"
#include "kernel/mm/address_space.h"
#include "kernel/task/access.h"
#include "kernel/task/clone.h"
#include "kernel/task/exec_files.h"
#include "kernel/task/exit.h"
#include "kernel/task/futex.h"
#include "kernel/task/posix_timers.h"
#include "kernel/task/program.h"
#include "kernel/task/residency.h"
#include "kernel/task/tracee.h"

namespace kernel {

namespace {
constinit std::atomic<ExecFiles*> files_of_exec{nullptr};
constexpr std::size_t kHeadSize = 256;         // BINPRM_BUF_SIZE
constexpr int kMaxScripts = 5;                 // interpreters that are scripts themselves, as Linux
constexpr std::size_t kMaxStrings = 0x7fffffff;
}  // namespace

void set_exec_files(ExecFiles& files) { files_of_exec.store(&files); }
ExecFiles& exec_files() {
  ExecFiles* files = files_of_exec.load();
  KASSERT(files != nullptr);
  return *files;
}

// --- StringBlock ---

Result<> StringBlock::add(std::string_view text) {
  if (text.size() + 1 > kMaxString) return Errno::toobig;
  TRY(text_.try_append(text));
  TRY(text_.try_append('\0'));
  ++count_;
  return {};
}

Result<> StringBlock::add_from_user(std::uint64_t address, std::size_t limit) {
  [[clang::uninitialized]] std::array<char, 512> small;
  Result<std::size_t> length = frame::copy_string_from_user(small, address);
  if (length.ok()) {
    TRY(add(std::string_view(small.data(), std::move(length).release())));
  } else {
    if (length.error() != Errno::nametoolong) return length.error();
    Vec<char> large;
    TRY(large.try_resize(kMaxString));
    length = frame::copy_string_from_user(large.span(), address);
    if (!length.ok()) return length.error() == Errno::nametoolong ? Errno::toobig : length.error();
    TRY(add(std::string_view(large.begin(), std::move(length).release())));
  }
  return cost() > limit ? Result<>(Errno::toobig) : Result<>();
}

Result<> StringBlock::add_all_from_user(UserPtr<const std::uint64_t> array, std::size_t limit) {
  if (array.is_null()) return {};
  for (std::size_t index = 0; index < kMaxStrings; ++index) {
    const UserPtr<const std::uint64_t> slot = TRY(array.at(index));
    const std::uint64_t address = TRY(slot.load());
    if (address == 0) return {};
    TRY(add_from_user(address, limit));
  }
  return Errno::toobig;
}

Result<> StringBlock::replace_first(std::span<const std::string_view> first) {
  StringBlock fresh;
  for (const std::string_view text : first) TRY(fresh.add(text));
  std::string_view rest = text_.view();
  if (count_ != 0) rest.remove_prefix(rest.find('\0') + 1);
  TRY(fresh.text_.try_append(rest));
  fresh.count_ += count_ == 0 ? 0 : count_ - 1;
  std::swap(text_, fresh.text_);
  std::swap(count_, fresh.count_);
  return {};
}

std::size_t argument_limit(const Process& process) {
  constexpr std::uint64_t kLeast = 131072, kMost = 6291456;
  return std::clamp(process.rlimit_current(abi::Rlimit::stack) / 4, kLeast, kMost);
}

namespace {

// --- Scripts ---

struct ScriptLine {
  std::string_view interpreter;
  std::string_view argument;  // empty = none
};

// The first line of a script, as Linux reads it: one optional argument that may hold blanks. ENOEXEC if it names no interpreter.
Result<ScriptLine> parse_script(std::string_view head) {
  constexpr std::string_view kBlank = " \t";
  head.remove_prefix(2);
  const std::size_t newline = head.find('\n');
  if (newline == std::string_view::npos) {
    // The line is cut: acceptable only if the interpreter's name is complete.
    const std::size_t start = head.find_first_not_of(kBlank);
    if (start == std::string_view::npos) return Errno::noexec;
    if (head.size() == kHeadSize - 2 && head.find_first_of(std::string_view(" \t\0", 3), start) == std::string_view::npos) return Errno::noexec;
  }
  std::string_view line = head.substr(0, newline);
  line = line.substr(0, line.find('\0'));
  const std::size_t start = line.find_first_not_of(kBlank);
  if (start == std::string_view::npos) return Errno::noexec;
  line = line.substr(start, line.find_last_not_of(kBlank) + 1 - start);
  const std::size_t end = std::min(line.find_first_of(kBlank), line.size());
  ScriptLine result{.interpreter = line.substr(0, end), .argument = {}};
  const std::size_t argument = line.find_first_not_of(kBlank, end);
  if (argument != std::string_view::npos) result.argument = line.substr(argument);
  return result;
}

// Follows `#!` lines to the ELF file that runs, editing the arguments on the way.
class ProgramFinder {
 public:
  ProgramFinder(Task& task, ExecRequest& request) : task_(task), request_(request) {}

  Result<OpenedProgram> find() {
    TRY(note_name());
    Ref<ExecFile> file = TRY(exec_files().open(task_, request_.directory, request_.path, request_.at_flags));
    for (int depth = 0;; ++depth) {
      std::array<std::byte, kHeadSize> head{};
      const std::size_t got = TRY(file->read_at(0, head));
      const std::span<const std::byte> bytes = std::span<const std::byte>(head).first(got);
      if (got < 2 || head[0] != std::byte{'#'} || head[1] != std::byte{'!'}) return open_program(task_, file, bytes);
      if (depth == kMaxScripts) return Errno::loop;
      const ScriptLine line = TRY(parse_script(text_of(bytes)));
      String interpreter = TRY(String::from(line.interpreter));
      TRY(rewrite_arguments(line));
      file = TRY(exec_files().open(task_, kAtFdCwd, interpreter.view(), 0));
      std::swap(name_, interpreter);
    }
  }
  // AT_EXECFN: the path as it was given; for comm its last part. With scripts both stay those of the script.
  std::string_view exec_name() const LIFETIMEBOUND { return first_name_.view(); }

 private:
  // What the script's path is called in the interpreter's arguments: for fexecve a name under /dev/fd.
  Result<> note_name() {
    String name;
    if (request_.directory != kAtFdCwd && !request_.path.starts_with('/')) {
      TRY(name.try_append("/dev/fd/"));
      TRY(append_number(name, static_cast<std::uint32_t>(request_.directory)));
      if (!request_.path.empty()) TRY(name.try_append('/'));
    }
    TRY(name.try_append(request_.path));
    first_name_ = TRY(name.clone());
    TRY(first_name_.try_append('\0'));
    std::swap(name_, name);
    return {};
  }
  static Result<> append_number(String& text, std::uint32_t number) {
    std::array<char, 10> digits{};
    std::size_t at = digits.size();
    do {
      digits[--at] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    return text.try_append(std::string_view(digits.data(), digits.size()).substr(at));
  }
  Result<> rewrite_arguments(const ScriptLine& line) {
    const std::array<std::string_view, 3> with{line.interpreter, line.argument, name_.view()};
    const std::array<std::string_view, 2> without{line.interpreter, name_.view()};
    return line.argument.empty() ? request_.arguments.replace_first(without) : request_.arguments.replace_first(with);
  }

  Task& task_;
  ExecRequest& request_;
  String name_;
  String first_name_;  // with its NUL
};

// While it lives, user copies of the running task go to another address space.
class ForeignMemory {
 public:
  ForeignMemory(Task& task, AddressSpace& mm) : task_(task), before_(task.context().user_space) { Residency::enter(task_, &mm); }
  ~ForeignMemory() { Residency::leave(task_, before_); }
  ForeignMemory(const ForeignMemory&) = delete;
  ForeignMemory& operator=(const ForeignMemory&) = delete;

 private:
  Task& task_;
  UserSpace* before_;
};

struct NewMemory {
  RefPtr<AddressSpace> mm;
  LoadedProgram program;
};

Result<NewMemory> build_memory(Task& task, const OpenedProgram& program, const ExecRequest& request, std::string_view name) {
  NewMemory fresh;
  Ref<AddressSpace> mm = TRY(AddressSpace::create());
  const Process& process = task.process();
  mm->set_limits({.address_space = process.rlimit_current(abi::Rlimit::as),
                  .data = process.rlimit_current(abi::Rlimit::data),
                  .locked = process.rlimit_current(abi::Rlimit::memlock),
                  .stack = process.rlimit_current(abi::Rlimit::stack)});
  const ForeignMemory foreign(task, *mm);
  fresh.program = TRY(load_program(task, *mm, program, request, name));
  fresh.mm = mm;
  return fresh;
}

// The running task's new memory takes the place of the old, which is given back unless a vfork parent still uses it.
void switch_memory(Task& task, const Ref<AddressSpace>& mm) {
  const RefPtr<AddressSpace> old = std::exchange(TaskAccess::mm(task), RefPtr<AddressSpace>(mm));
  mm->add_user();
  ProcessAccess::set_mm(task.process(), mm);
  old->drop_user();
  task.set_user_space(mm.get());
}

void start_registers(Task& task, frame::TrapFrame& frame, const LoadedProgram& program) {
  save_user_state();
  frame::xsave_make_initial(task.xsave_area());
  task.context().fs_base = 0;
  frame = frame::TrapFrame{};
  frame.orig_rax = ~std::uint64_t{0};
  frame.rip = program.start;
  frame.rsp = program.stack;
  frame.rflags = 0x202;
  frame.kind = frame::TrapKind::exception;
}

// comm is the last part of the path, at most 15 bytes.
std::string_view comm_of(std::string_view name) {
  name = name.substr(0, name.find('\0'));
  const std::size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? name : name.substr(slash + 1);
}

// Everything of the old program that does not outlive it. The task is alone in its process.
Result<> shed_old_program(Task& task) {
  Process& process = task.process();
  process.timers().remove_posix(task);
  process.drop_aio();
  ProcessAccess::set_handlers(process, TRY(process.handlers()->copy(true)));
  task.altstack = {.sp = 0, .flags = abi::kSsDisable, .reserved = 0, .size = 0};
  task.clear_child_tid = UserPtr<std::int32_t>();
  task.robust_list = 0;
  task.plain_restorer = 0;
  TaskAccess::restarting(task) = false;
  // A table that another process shares (CLONE_FILES) must not lose its descriptors.
  if (task.files().ref_count() > 1) task.set_files(TRY(task.files().clone()));
  task.files().on_exec();
  return {};
}

bool memory_is_shared(const Task& task, const Process& process) {
  return TaskAccess::has_vfork_parent(task) || (process.thread_count() == 1 && task.mm().ref_count() > 2);
}

}  // namespace

Result<> execute(Task& task, frame::TrapFrame& frame, ExecRequest& request) {
  Process& process = task.process();
  if (request.arguments.count() == 0) TRY(request.arguments.add(""));  // as Linux since 5.18
  ProgramFinder finder(task, request);
  const OpenedProgram program = TRY(finder.find());
  NewMemory fresh;
  Result<NewMemory> built = build_memory(task, program, request, finder.exec_name());
  const bool retry = !built.ok() && !program.main.image.position_independent &&
                     (built.error() == Errno::nomem || built.error() == Errno::exist) && !memory_is_shared(task, process);
  if (built.ok())
    fresh = std::move(built).release();
  else if (!retry)
    return built.error();

  const Pid former = task.tid();
  TRY(become_only_thread(task));
  if (retry) {
    // A program with fixed addresses replaces one that has the same addresses: the old memory must go first. No way back from here.
    futex_on_exit(task);
    const Ref<AddressSpace> empty = TRY(AddressSpace::create());
    switch_memory(task, empty);
    built = build_memory(task, program, request, finder.exec_name());
    if (!built.ok()) {
      process.request_exit(abi::wait_signaled(abi::kSigKill, false));
      return built.error();
    }
    fresh = std::move(built).release();
  }
  futex_on_exit(task);
  switch_memory(task, fresh.mm.as_ref());
  process.set_layout(fresh.program.layout);
  process.set_executable(program.main.file);
  process.dumpable = 1;
  process.has_execed = true;
  task.set_name(comm_of(finder.exec_name()));
  finish_vfork(task);
  if (const Result<> shed = shed_old_program(task); !shed.ok()) {
    process.request_exit(abi::wait_signaled(abi::kSigKill, false));
    return shed;
  }
  start_registers(task, frame, fresh.program);
  trace_exec(task, former);
  return {};
}

Result<Ref<Task>> spawn_first(std::string_view path, std::span<const std::string_view> argv, std::span<const std::string_view> env,
                              Ref<ProcessResource> files, Ref<ProcessResource> fs) {
  ExecRequest request;
  request.path = path;
  for (const std::string_view text : argv) TRY(request.arguments.add(text));
  for (const std::string_view text : env) TRY(request.environment.add(text));
  const Ref<AddressSpace> empty = TRY(AddressSpace::create());
  const Ref<Task> task = TRY(create_first_task(empty, files, fs));
  ProgramFinder finder(*task, request);
  const OpenedProgram program = TRY(finder.find());
  // The stack is filled by the running (kernel) thread, which borrows the new memory.
  Ref<AddressSpace> mm = TRY(AddressSpace::create());
  Thread& self = current_thread();
  UserSpace* before = self.context().user_space;
  self.set_user_space(mm.get());
  Result<LoadedProgram> loaded = load_program(*task, *mm, program, request, finder.exec_name());
  self.set_user_space(before);
  if (!loaded.ok()) return loaded.error();
  const LoadedProgram result = std::move(loaded).release();
  switch_memory(*task, mm);
  task->process().set_layout(result.layout);
  task->process().set_executable(program.main.file);
  task->process().has_execed = true;
  task->set_name(comm_of(finder.exec_name()));
  frame::TrapFrame& frame = task->trap_frame();
  frame = frame::TrapFrame{};
  frame.orig_rax = ~std::uint64_t{0};
  frame.rip = result.start;
  frame.rsp = result.stack;
  frame.rflags = 0x202;
  frame.kind = frame::TrapKind::exception;
  return task;
}

}  // namespace kernel
