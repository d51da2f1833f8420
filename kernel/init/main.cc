// The init thread: mounts the root, opens the standard descriptors and starts the first program.
#include "abi/fs.h"
#include "abi/process.h"
#include "abi/signal.h"
#include "kernel/base/string.h"
#include "kernel/fs/dev/devfs.h"
#include "kernel/fs/proc/procfs.h"
#include "kernel/fs/register.h"
#include "kernel/fs/sys/sysfs.h"
#include "kernel/fs/tty/console.h"
#include "kernel/host/client.h"
#include "kernel/host/clock.h"
#include "kernel/host/log.h"
#include "kernel/host/stream.h"
#include "kernel/init/boot.h"
#include "kernel/init/launch.h"
#include "kernel/net/inet_table.h"
#include "kernel/syscall/exec.h"
#include "kernel/syscall/trace.h"
#include "kernel/task/exec.h"
#include "kernel/task/job_control.h"
#include "kernel/task/process.h"
#include "kernel/task/signal.h"
#include "kernel/task/terminal.h"
#include "kernel/task/vdso.h"
#include "kernel/vfs/fd_table.h"
#include "kernel/vfs/fs_context.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/names.h"

namespace kernel {
namespace {

// Exit statuses as shells use them; docs/cli.md has the table.
constexpr int kCannotExecute = 126, kNotFound = 127, kKernelFailed = 125;

// The exit status of `occlum run`: the program's, or 128 + signal.
void on_init_exit(std::int32_t wait_status) {
  const std::int32_t signal = wait_status & 0x7f;
  shut_down(signal != 0 ? 128 + signal : (wait_status >> 8) & 0xff);
}

// What a descriptor is that the host gave no stream for: open the wrong way round, so that its use is EBADF as that of a closed one. Were
// it free, a hostile host could have the program's next file take its number, and what is written to standard output go there.
Result<Ref<OpenFile>> open_in_place_of_stream(std::uint32_t handle, const FsContext& fs) {
  const Identity kernel_identity;
  return open_at(NameContext{.fs = fs, .who = kernel_identity}, nullptr, "/dev/null", handle == 0 ? abi::kOWrOnly : abi::kORdOnly, 0);
}

Result<Ref<ProcessResource>> open_standard_files(const FsContext& fs) {
  const Ref<FdTable> files = TRY(make_ref<FdTable>());
  constexpr std::uint64_t kLimit = 1024;
  for (std::uint32_t handle = 0; handle <= 2; ++handle) {
    auto stream = open_standard_stream(handle, fs);
    if (!stream.ok()) stream = open_in_place_of_stream(handle, fs);
    if (!stream.ok()) return stream.error();
    TRY(files->put_at(Fd{static_cast<std::int32_t>(handle)}, FileHandle(std::move(stream).release()), false, kLimit));
  }
  return Ref<ProcessResource>(files);
}

Result<> prepare() {
  trace_init();
  TRY(vdso_init());
  host::set_clock_listener(&update_vdso_clock);
  set_exec_files(path_exec_files());
  set_init_exit_hook(&on_init_exit);
  set_init_stop_hook(&host::suspend_runtime);
  set_net_tables(inet_table());
  TRY(console_init());
  TRY(register_file_systems());
  TRY(register_device_file_systems());
  TRY(register_proc_file_system());
  TRY(register_sys_file_system());
  return mount_root();
}

[[noreturn]] void refuse_program(std::string_view path, Errno error) {
  String line;
  const std::string_view reason = error == Errno::noent    ? ": no such program in the image (or its interpreter is missing there)"
                                  : error == Errno::acces  ? ": not executable"
                                  : error == Errno::noexec ? ": not an x86-64 ELF program or script"
                                  : error == Errno::nomem  ? ": out of memory (resource_limits.user_space_size in Occlum.json)"
                                                           : ": cannot be started";
  static_cast<void>(line.try_append("cannot run ").ok() && line.try_append(path).ok() && line.try_append(reason).ok());
  fail_to_start(error == Errno::noent ? kNotFound : kCannotExecute, line.view());
}

Result<Ref<Task>> launch(const LaunchRequest& request) {
  const Vec<std::string_view> environment = TRY(build_environment(request));
  const Ref<ProcessResource> fs = TRY(make_first_fs_context());
  // SAFETY: the file-system resource of every task is an FsContext (fs_context.h).
  const Ref<ProcessResource> files = TRY(open_standard_files(static_cast<const FsContext&>(*fs)));
  Ref<Task> first = TRY(spawn_first(request.argv[0], request.argv.span(), environment.span(), files, fs));
  if (const RefPtr<Console> terminal = console()) attach_first_session(first->process(), *terminal);
  return first;
}

}  // namespace

// Signals that a terminal makes are for the group in its foreground; one that is continued has to hear of it too. All others are for
// the first process.
void deliver_host_signals() {
  constexpr SignalSet kOfTerminals = signal_bit(abi::kSigInt) | signal_bit(abi::kSigQuit) | signal_bit(abi::kSigTstp) |
                                     signal_bit(abi::kSigWinch) | signal_bit(abi::kSigCont);
  if (!host::has_user_signals()) return;
  const RefPtr<Process> first = find_process(Pid{1});
  if (!first) return;  // while booting: they wait for it
  std::uint64_t signals = host::take_user_signals();
  if (const RefPtr<Console> terminal = console(); terminal && terminal->foreground() != Pid{}) {
    for (int signo = 1; signo <= abi::kSigMax; ++signo)
      if ((signals & kOfTerminals & signal_bit(signo)) != 0) signal_foreground(*terminal, signo);
    const bool in_front = first->group() == terminal->foreground();
    signals &= ~(in_front ? kOfTerminals : kOfTerminals & ~signal_bit(abi::kSigCont));
  }
  for (int signo = 1; signo <= abi::kSigMax; ++signo) {
    // A full queue loses it, as kill(2) would report to the sender.
    if ((signals & signal_bit(signo)) != 0) static_cast<void>(send_signal(*first, abi::SigInfo::from_kernel(signo)).ok());
  }
}

void start_first_program() {
  if (const auto prepared = prepare(); !prepared.ok())
    fail_to_start(kKernelFailed, "the instance cannot start: the image is damaged or the configuration asks for what this kernel cannot mount");
  auto request = take_launch_request();
  if (!request.ok()) fail_to_start(kKernelFailed, "the host passed a damaged command line");
  const LaunchRequest launch_request = std::move(request).release();
  const std::string_view path = launch_request.argv[0];
  if (!is_entry_point(path)) {
    String line;
    static_cast<void>(line.try_append(path).ok() && line.try_append(": not in entry_points of Occlum.json, so the host may not start it").ok());
    fail_to_start(kCannotExecute, line.view());
  }
  auto first = launch(launch_request);
  if (!first.ok()) refuse_program(path, first.error());
  std::move(first).release()->start();
}

}  // namespace kernel
