// System V IPC: shmget(2), semget(2), msgget(2) and relatives, sysvipc(7).
#ifndef ABI_IPC_H
#define ABI_IPC_H

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace abi {

inline constexpr std::int32_t kIpcPrivate = 0;
inline constexpr std::uint32_t kIpcCreat = 01000, kIpcExcl = 02000, kIpcNoWait = 04000;
// Commands of the three *ctl calls. IPC_64 (0x100) may be set; x86-64 knows that layout only.
inline constexpr std::int32_t kIpcRmid = 0, kIpcSet = 1, kIpcStat = 2, kIpcInfo = 3, kIpc64 = 0x100;

struct IpcPerm {
  std::int32_t key;
  std::uint32_t uid, gid, cuid, cgid, mode;
  std::uint16_t seq, pad;
  std::uint32_t reserved;
  std::uint64_t unused1, unused2;
};
static_assert(sizeof(IpcPerm) == 48 && std::has_unique_object_representations_v<IpcPerm>);

// --- shared memory ---

inline constexpr std::uint32_t kShmHugeTlb = 04000, kShmNoReserve = 010000;  // shmget
inline constexpr std::uint32_t kShmRdOnly = 010000, kShmRnd = 020000, kShmRemap = 040000, kShmExec = 0100000;  // shmat
inline constexpr std::uint32_t kShmDest = 01000, kShmLocked = 02000;  // in shm_perm.mode
inline constexpr std::int32_t kShmLock = 11, kShmUnlock = 12, kShmStat = 13, kShmInfo = 14, kShmStatAny = 15;

struct ShmIdDs {
  IpcPerm perm;
  std::uint64_t segsz;
  std::int64_t atime, dtime, ctime;
  std::int32_t cpid, lpid;
  std::uint64_t nattch, unused4, unused5;
};
static_assert(sizeof(ShmIdDs) == 112 && offsetof(ShmIdDs, nattch) == 88);

struct ShmLimits {  // struct shminfo
  std::uint64_t shmmax, shmmin, shmmni, shmseg, shmall, unused1, unused2, unused3, unused4;
};
struct ShmUse {  // struct shm_info
  std::int32_t used_ids;
  std::uint32_t reserved;
  std::uint64_t total, resident, swapped, swap_attempts, swap_successes;
};
static_assert(sizeof(ShmLimits) == 72 && sizeof(ShmUse) == 48);

// --- semaphores ---

inline constexpr std::int32_t kGetPid = 11, kGetVal = 12, kGetAll = 13, kGetNcnt = 14, kGetZcnt = 15, kSetVal = 16, kSetAll = 17,
                              kSemStat = 18, kSemInfo = 19, kSemStatAny = 20;
inline constexpr std::int16_t kSemUndo = 0x1000;
inline constexpr std::int32_t kSemMaxValue = 32767;

struct SemBuf {
  std::uint16_t number;
  std::int16_t op;
  std::int16_t flags;
};
static_assert(sizeof(SemBuf) == 6);

struct SemIdDs {
  IpcPerm perm;
  std::int64_t otime;
  std::uint64_t unused1;
  std::int64_t ctime;
  std::uint64_t unused2, nsems, unused3, unused4;
};
static_assert(sizeof(SemIdDs) == 104);

struct SemLimits {  // struct seminfo
  std::int32_t semmap, semmni, semmns, semmnu, semmsl, semopm, semume, semusz, semvmx, semaem;
};
static_assert(sizeof(SemLimits) == 40);

// --- messages ---

inline constexpr std::int32_t kMsgStat = 11, kMsgInfo = 12, kMsgStatAny = 13;
inline constexpr std::uint32_t kMsgNoError = 010000, kMsgExcept = 020000, kMsgCopy = 040000;

struct MsqIdDs {
  IpcPerm perm;
  std::int64_t stime, rtime, ctime;
  std::uint64_t cbytes, qnum, qbytes;
  std::int32_t lspid, lrpid;
  std::uint64_t unused4, unused5;
};
static_assert(sizeof(MsqIdDs) == 120);

struct MsgLimits {  // struct msginfo
  std::int32_t msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql;
  std::uint16_t msgseg, reserved;
};
static_assert(sizeof(MsgLimits) == 32);

}  // namespace abi
#endif  // ABI_IPC_H
