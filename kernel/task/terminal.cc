#include "kernel/task/terminal.h"

#include <utility>

#include "kernel/task/access.h"
#include "kernel/task/job_control.h"
#include "kernel/task/pid.h"

namespace kernel {

// The folder's own view of a terminal.
struct TerminalAccess {
  static void set(std::atomic<std::int32_t>& field, Pid id) REQUIRES(tree_lock) {
    if (id != Pid{}) id_table().add_use(id);
    const Pid old{field.exchange(static_cast<std::int32_t>(id))};
    if (old != Pid{}) id_table().drop_use(old);
  }
  static void set_session(ControllingTerminal& terminal, Pid id) REQUIRES(tree_lock) { set(terminal.session_, id); }
  static void set_foreground(ControllingTerminal& terminal, Pid id) REQUIRES(tree_lock) { set(terminal.foreground_, id); }
};

namespace {

bool leads_session(const Process& process) { return process.session() == process.pid(); }

// The caller holds a reference to the terminal, so that none of those dropped here is the last.
void clear_session(ControllingTerminal& terminal) REQUIRES(tree_lock) {
  std::int32_t id = 0;
  while (IdSlot* slot = id_table().next(id))
    if (slot->process && ProcessAccess::terminal(*slot->process).get() == &terminal) ProcessAccess::terminal(*slot->process) = nullptr;
  TerminalAccess::set_session(terminal, Pid{});
  TerminalAccess::set_foreground(terminal, Pid{});
}

void attach(Process& leader, ControllingTerminal& terminal) REQUIRES(tree_lock) {
  ProcessAccess::terminal(leader) = RefPtr<ControllingTerminal>(&terminal);
  TerminalAccess::set_session(terminal, leader.session());
  TerminalAccess::set_foreground(terminal, leader.group());
  TerminalAccess::set(ProcessAccess::hung_up_group(leader), Pid{});
}

// A group that is gone by now is no error for the kernel.
void signal_group(Pid group, int signo) {
  if (group != Pid{}) (void)send_signal_to_group(group, abi::SigInfo::from_kernel(signo));
}

// Takes the terminal from the leader's session and tells the foreground group.
void disassociate(ControllingTerminal& terminal, bool exiting) EXCLUDES(tree_lock) {
  const Pid foreground = terminal.foreground();
  signal_group(foreground, abi::kSigHup);
  if (!exiting) signal_group(foreground, abi::kSigCont);
  const LockGuard guard(tree_lock);
  clear_session(terminal);
}

}  // namespace

RefPtr<ControllingTerminal> terminal_of(const Process& process) {
  const LockGuard guard(tree_lock);
  return ProcessAccess::terminal(process);
}

bool is_background(const Task& task, const ControllingTerminal& terminal) {
  const Process& process = task.process();
  const LockGuard guard(tree_lock);
  if (ProcessAccess::terminal(process).get() != &terminal) return false;
  return terminal.foreground() != Pid{} && terminal.foreground() != process.group();
}

Result<> check_background(Task& task, const ControllingTerminal& terminal, int signo) {
  Process& process = task.process();
  Pid group{};
  bool orphaned = false;
  {
    const LockGuard guard(tree_lock);
    if (ProcessAccess::terminal(process).get() != &terminal) return {};
    group = process.group();
    if (terminal.foreground() == Pid{} || terminal.foreground() == group) return {};
    orphaned = is_orphaned_group(group, nullptr);
  }
  const bool deaf = (task.signal_mask() & signal_bit(signo)) != 0 || process.handlers()->get(signo).handler == abi::kSigIgn;
  if (deaf) return signo == abi::kSigTtin ? Result<>(Errno::io) : Result<>();
  if (orphaned) return Errno::io;
  signal_group(group, signo);
  return Errno::restart;
}

Result<> take_terminal(Task& task, ControllingTerminal& terminal, bool steal, bool readable) {
  Process& process = task.process();
  const bool admin = task.credentials().has(Capability::sys_admin);
  const LockGuard guard(tree_lock);
  if (leads_session(process) && process.session() == terminal.session()) return {};
  if (!leads_session(process) || ProcessAccess::terminal(process)) return Errno::perm;
  if (terminal.session() != Pid{}) {
    if (!steal || !admin) return Errno::perm;
    clear_session(terminal);
  }
  if (!readable && !admin) return Errno::perm;
  attach(process, terminal);
  return {};
}

void adopt_terminal(Task& task, ControllingTerminal& terminal) {
  Process& process = task.process();
  const LockGuard guard(tree_lock);
  if (leads_session(process) && !ProcessAccess::terminal(process) && terminal.session() == Pid{}) attach(process, terminal);
}

void attach_first_session(Process& first, ControllingTerminal& terminal) {
  const LockGuard guard(tree_lock);
  attach(first, terminal);
}

Result<> give_up_terminal(Task& task, const ControllingTerminal& terminal) {
  Process& process = task.process();
  RefPtr<ControllingTerminal> mine;  // dropped after the lock
  {
    const LockGuard guard(tree_lock);
    if (ProcessAccess::terminal(process).get() != &terminal) return Errno::notty;
    if (!leads_session(process)) {
      std::swap(mine, ProcessAccess::terminal(process));
      return {};
    }
    mine = ProcessAccess::terminal(process);
  }
  disassociate(*mine, false);
  return {};
}

void leave_terminal_at_exit(Process& process) {
  RefPtr<ControllingTerminal> mine;
  Pid hung_up{};
  {
    const LockGuard guard(tree_lock);
    if (leads_session(process))
      mine = ProcessAccess::terminal(process);
    else
      std::swap(mine, ProcessAccess::terminal(process));
    hung_up = Pid{ProcessAccess::hung_up_group(process).load()};
  }
  if (!leads_session(process)) return;
  if (mine) {
    disassociate(*mine, true);
  } else {
    signal_group(hung_up, abi::kSigHup);
    signal_group(hung_up, abi::kSigCont);
  }
  const LockGuard guard(tree_lock);
  TerminalAccess::set(ProcessAccess::hung_up_group(process), Pid{});
}

void hang_up_session(ControllingTerminal& terminal) {
  RefPtr<Process> leader;
  {
    const LockGuard guard(tree_lock);
    IdSlot* slot = id_table().find(terminal.session());
    if (slot != nullptr) leader = slot->process;
    if (leader) TerminalAccess::set(ProcessAccess::hung_up_group(*leader), terminal.foreground());
    clear_session(terminal);
  }
  if (!leader) return;
  (void)send_signal(*leader, abi::SigInfo::from_kernel(abi::kSigHup));  // standard signals are never refused
  (void)send_signal(*leader, abi::SigInfo::from_kernel(abi::kSigCont));
}

Result<> set_foreground(Task& task, ControllingTerminal& terminal, std::int32_t group) {
  const Process& process = task.process();
  if (group < 0) return Errno::inval;
  const LockGuard guard(tree_lock);
  if (ProcessAccess::terminal(process).get() != &terminal || terminal.session() != process.session()) return Errno::notty;
  // Any id in use will do to be found; one that is no group has no session.
  IdSlot* named = id_table().find(Pid{group});
  if (named == nullptr || named->uses == 0) return Errno::srch;
  // Linux takes the number of any process of the session; only a group will ever get its signals.
  const Process* member = named->process ? named->process.get() : nullptr;
  if (member == nullptr && named->task) member = &named->task->process();
  std::int32_t id = 0;
  while (IdSlot* slot = id_table().next(id))
    if (slot->process && slot->process->group() == Pid{group}) member = slot->process.get();
  if (member == nullptr || member->session() != process.session()) return Errno::perm;
  TerminalAccess::set_foreground(terminal, Pid{group});
  return {};
}

void signal_foreground(const ControllingTerminal& terminal, int signo) { signal_group(terminal.foreground(), signo); }

// --- Groups and sessions. ---

namespace {
// Moves a process to another group or session; ids keep their uses.
void change_group(Process& process, Pid group, Pid session) REQUIRES(tree_lock) {
  id_table().add_use(group);
  id_table().add_use(session);
  id_table().drop_use(process.group());
  id_table().drop_use(process.session());
  ProcessAccess::set_group(process, group);
  ProcessAccess::set_session(process, session);
}

bool group_exists(Pid group, Pid session) REQUIRES(tree_lock) {
  std::int32_t id = 0;
  while (IdSlot* slot = id_table().next(id))
    if (slot->process && slot->process->group() == group && slot->process->session() == session) return true;
  return false;
}
}  // namespace

Result<Pid> create_session(Task& task) {
  Process& process = task.process();
  RefPtr<ControllingTerminal> lost;  // dropped after the lock
  const LockGuard guard(tree_lock);
  std::int32_t id = 0;
  while (IdSlot* slot = id_table().next(id))
    if (slot->process && slot->process->group() == process.pid()) return Errno::perm;  // it leads a group, or left one that lives on
  change_group(process, process.pid(), process.pid());
  std::swap(lost, ProcessAccess::terminal(process));
  return process.pid();
}

Result<> set_process_group(Task& task, Pid pid, Pid group) {
  Process& self = task.process();
  const Pid target_pid = pid == Pid{} ? self.pid() : pid;
  const Pid target_group = group == Pid{} ? target_pid : group;
  if (static_cast<std::int32_t>(target_group) < 0) return Errno::inval;
  const LockGuard guard(tree_lock);
  IdSlot* slot = id_table().find(target_pid);
  if (slot == nullptr || (!slot->process && !slot->task)) return Errno::srch;
  Process* target = slot->process.get();
  if (target == nullptr) return Errno::inval;  // a thread that leads no process
  if (target != &self) {
    if (ProcessAccess::parent(*target).get() != &self) return Errno::srch;
    if (target->session() != self.session()) return Errno::perm;
    if (target->has_execed.load()) return Errno::acces;
  }
  if (leads_session(*target)) return Errno::perm;  // a session leader stays
  if (target_group != target_pid && !group_exists(target_group, self.session())) return Errno::perm;
  change_group(*target, target_group, target->session());
  return {};
}

}  // namespace kernel
