#include "kernel/task/inspect.h"

namespace kernel {

Result<> may_inspect(const Task& who, Process& target) {
  if (&target == &who.process()) return {};
  const Ref<const Credentials> own = who.credentials_ref();
  if (own->has(Capability::sys_ptrace)) return {};
  const RefPtr<Task> thread = target.any_thread();
  if (!thread) return {};  // nothing is left to look at
  const Ref<const Credentials> theirs = thread->credentials_ref();
  const bool same = own->ruid == theirs->ruid && own->ruid == theirs->euid && own->ruid == theirs->suid && own->rgid == theirs->rgid &&
                    own->rgid == theirs->egid && own->rgid == theirs->sgid;
  return same && target.dumpable.load() != 0 ? Result<>() : Result<>(Errno::perm);
}

}  // namespace kernel
