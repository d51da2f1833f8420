// clone(2), clone3(2) and sched(7) as programs see them.
#ifndef ABI_SCHED_H
#define ABI_SCHED_H

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace abi {

inline constexpr std::uint64_t kCloneVm = 0x100, kCloneFs = 0x200, kCloneFiles = 0x400, kCloneSigHand = 0x800, kClonePidFd = 0x1000,
                               kClonePtrace = 0x2000, kCloneVfork = 0x4000, kCloneParent = 0x8000, kCloneThread = 0x10000,
                               kCloneNewNs = 0x20000, kCloneSysVSem = 0x40000, kCloneSetTls = 0x80000, kCloneParentSetTid = 0x100000,
                               kCloneChildClearTid = 0x200000, kCloneDetached = 0x400000, kCloneUntraced = 0x800000,
                               kCloneChildSetTid = 0x1000000, kCloneNewCgroup = 0x2000000, kCloneNewUts = 0x4000000,
                               kCloneNewIpc = 0x8000000, kCloneNewUser = 0x10000000, kCloneNewPid = 0x20000000,
                               kCloneNewNet = 0x40000000, kCloneIo = 0x80000000, kCloneClearSigHand = 0x100000000,
                               kCloneIntoCgroup = 0x200000000, kCloneNewTime = 0x80;
inline constexpr std::uint64_t kCloneSignalMask = 0xff;  // exit signal in the low byte (clone(2) only)
inline constexpr std::uint64_t kCloneNamespaces = kCloneNewNs | kCloneNewCgroup | kCloneNewUts | kCloneNewIpc | kCloneNewUser |
                                                  kCloneNewPid | kCloneNewNet;

// struct clone_args of clone3(2).
struct CloneArgs {
  std::uint64_t flags;
  std::uint64_t pidfd;
  std::uint64_t child_tid;
  std::uint64_t parent_tid;
  std::uint64_t exit_signal;
  std::uint64_t stack;
  std::uint64_t stack_size;
  std::uint64_t tls;
  std::uint64_t set_tid;
  std::uint64_t set_tid_size;
  std::uint64_t cgroup;
};
static_assert(sizeof(CloneArgs) == 88);
inline constexpr std::size_t kCloneArgsSizeVer0 = 64, kCloneArgsSizeVer1 = 80, kCloneArgsSizeVer2 = 88;

inline constexpr std::int32_t kSchedOther = 0, kSchedFifo = 1, kSchedRr = 2, kSchedBatch = 3, kSchedIdle = 5, kSchedDeadline = 6;
inline constexpr std::int32_t kSchedResetOnFork = 0x40000000;
struct SchedParam {
  std::int32_t priority;
};
struct SchedAttr {
  std::uint32_t size;
  std::uint32_t policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime, deadline, period;
  std::uint32_t util_min, util_max;
};
static_assert(sizeof(SchedAttr) == 56 && std::has_unique_object_representations_v<SchedAttr>);
inline constexpr std::uint32_t kSchedAttrSizeVer0 = 48;

inline constexpr std::int32_t kPrioProcess = 0, kPrioPgrp = 1, kPrioUser = 2;

}  // namespace abi
#endif  // ABI_SCHED_H
