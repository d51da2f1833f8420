// Files: flags and structures of open(2), stat(2), statx(2), getdents64(2), statfs(2), fcntl(2) and friends, as x86-64 Linux has them.
#ifndef ABI_FS_H
#define ABI_FS_H

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace abi {

// open(2)
inline constexpr std::uint32_t kOAccMode = 3, kORdOnly = 0, kOWrOnly = 1, kORdWr = 2;
inline constexpr std::uint32_t kOCreat = 0100, kOExcl = 0200, kONoCtty = 0400, kOTrunc = 01000, kOAppend = 02000, kONonBlock = 04000,
                               kODSync = 010000, kOAsync = 020000, kODirect = 040000, kOLargeFile = 0100000, kODirectory = 0200000,
                               kONoFollow = 0400000, kONoAtime = 01000000, kOCloExec = 02000000, kOSync = 04010000, kOPath = 010000000,
                               kOTmpFileBit = 020000000, kOTmpFile = kOTmpFileBit | kODirectory;
// What F_SETFL may change.
inline constexpr std::uint32_t kSettableFlags = kOAppend | kONonBlock | kOAsync | kODirect | kONoAtime;

// *at calls
inline constexpr std::int32_t kAtFdCwd = -100;
inline constexpr std::uint32_t kAtSymlinkNoFollow = 0x100, kAtRemoveDir = 0x200, kAtEAccess = 0x200, kAtSymlinkFollow = 0x400,
                               kAtNoAutomount = 0x800, kAtEmptyPath = 0x1000, kAtStatxSyncType = 0x6000;

// access(2)
inline constexpr std::uint32_t kFOk = 0, kXOk = 1, kWOk = 2, kROk = 4;

// lseek(2)
inline constexpr std::uint32_t kSeekSet = 0, kSeekCur = 1, kSeekEnd = 2, kSeekData = 3, kSeekHole = 4;

// fallocate(2)
inline constexpr std::uint32_t kFallocKeepSize = 1, kFallocPunchHole = 2, kFallocCollapseRange = 8, kFallocZeroRange = 16,
                               kFallocInsertRange = 32, kFallocUnshareRange = 64;

// renameat2(2)
inline constexpr std::uint32_t kRenameNoReplace = 1, kRenameExchange = 2, kRenameWhiteout = 4;

// fcntl(2)
inline constexpr std::uint32_t kFDupFd = 0, kFGetFd = 1, kFSetFd = 2, kFGetFl = 3, kFSetFl = 4, kFGetLk = 5, kFSetLk = 6, kFSetLkW = 7,
                               kFSetOwn = 8, kFGetOwn = 9, kFSetSig = 10, kFGetSig = 11, kFSetOwnEx = 15, kFGetOwnEx = 16,
                               kFOfdGetLk = 36, kFOfdSetLk = 37, kFOfdSetLkW = 38, kFSetLease = 1024, kFGetLease = 1025, kFNotify = 1026,
                               kFDupFdCloExec = 1030, kFSetPipeSize = 1031, kFGetPipeSize = 1032, kFAddSeals = 1033, kFGetSeals = 1034;
inline constexpr std::uint32_t kFdCloExec = 1;
inline constexpr std::int16_t kFRdLck = 0, kFWrLck = 1, kFUnLck = 2;
inline constexpr std::uint32_t kSealSeal = 1, kSealShrink = 2, kSealGrow = 4, kSealWrite = 8, kSealFutureWrite = 16, kSealExec = 32;

// flock(2)
inline constexpr std::uint32_t kLockSh = 1, kLockEx = 2, kLockNb = 4, kLockUn = 8;

// close_range(2)
inline constexpr std::uint32_t kCloseRangeUnshare = 2, kCloseRangeCloExec = 4;

// ioctls that every file answers
inline constexpr std::uint32_t kFioNRead = 0x541b, kFioNbio = 0x5421, kFioNClex = 0x5450, kFioClex = 0x5451, kFioAsync = 0x5452,
                               kFioQSize = 0x5460, kFsIocGetFlags = 0x80086601, kFsIocSetFlags = 0x40086602;

// xattr(7)
inline constexpr std::uint32_t kXattrCreate = 1, kXattrReplace = 2;
inline constexpr std::size_t kXattrNameMax = 255, kXattrSizeMax = 65536, kXattrListMax = 65536;

// utimensat(2)
inline constexpr std::int64_t kUtimeNow = 0x3fffffff, kUtimeOmit = 0x3ffffffe;

// preadv2(2), pwritev2(2)
inline constexpr std::uint32_t kRwfHiPri = 1, kRwfDSync = 2, kRwfSync = 4, kRwfNoWait = 8, kRwfAppend = 16;

// mount(2), umount2(2)
inline constexpr std::uint64_t kMsRdOnly = 1, kMsNoSuid = 2, kMsNoDev = 4, kMsNoExec = 8, kMsSynchronous = 16, kMsRemount = 32,
                               kMsMandLock = 64, kMsDirSync = 128, kMsNoSymFollow = 256, kMsNoAtime = 1024, kMsNoDirAtime = 2048,
                               kMsBind = 4096, kMsMove = 8192, kMsRec = 16384, kMsSilent = 32768, kMsUnbindable = 1 << 17,
                               kMsPrivate = 1 << 18, kMsSlave = 1 << 19, kMsShared = 1 << 20, kMsRelAtime = 1 << 21,
                               kMsStrictAtime = 1 << 24, kMsLazyTime = 1 << 25, kMsMagicMask = 0xffff0000, kMsMagic = 0xc0ed0000;
inline constexpr std::uint32_t kMntForce = 1, kMntDetach = 2, kMntExpire = 4, kUmountNoFollow = 8;

// file-system magic numbers (statfs)
inline constexpr std::uint64_t kMagicTmpfs = 0x01021994, kMagicErofs = 0xe0f5e1e2, kMagicOverlay = 0x794c7630, kMagicProc = 0x9fa0,
                               kMagicSysfs = 0x62656572, kMagicPipefs = 0x50495045, kMagicSockfs = 0x534f434b, kMagicAnonInode = 0x09041934,
                               kMagicDevpts = 0x1cd1;
inline constexpr std::uint64_t kStReadOnly = 1, kStNoSuid = 2, kStNoDev = 4, kStNoExec = 8, kStValid = 0x20, kStNoAtime = 1024;

struct Iovec {
  std::uint64_t base;
  std::uint64_t length;
};
static_assert(sizeof(Iovec) == 16);
inline constexpr std::uint64_t kIovMax = 1024;
inline constexpr std::uint64_t kMaxRwCount = 0x7ffff000;  // most bytes one read or write moves

struct FileTimespec {
  std::int64_t sec;
  std::int64_t nsec;
};
static_assert(sizeof(FileTimespec) == 16);
struct FileTimeval {
  std::int64_t sec;
  std::int64_t usec;
};
static_assert(sizeof(FileTimeval) == 16);
struct Utimbuf {
  std::int64_t actime;
  std::int64_t modtime;
};
static_assert(sizeof(Utimbuf) == 16);

struct Stat {
  std::uint64_t dev;
  std::uint64_t ino;
  std::uint64_t nlink;
  std::uint32_t mode;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t reserved0;
  std::uint64_t rdev;
  std::int64_t size;
  std::int64_t blksize;
  std::int64_t blocks;
  FileTimespec atim;
  FileTimespec mtim;
  FileTimespec ctim;
  std::int64_t reserved[3];
};
static_assert(sizeof(Stat) == 144 && offsetof(Stat, size) == 48 && offsetof(Stat, atim) == 72 && std::has_unique_object_representations_v<Stat>);

struct StatxTimestamp {
  std::int64_t sec;
  std::uint32_t nsec;
  std::int32_t reserved;
};
struct Statx {
  std::uint32_t mask;
  std::uint32_t blksize;
  std::uint64_t attributes;
  std::uint32_t nlink;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint16_t mode;
  std::uint16_t reserved0;
  std::uint64_t ino;
  std::uint64_t size;
  std::uint64_t blocks;
  std::uint64_t attributes_mask;
  StatxTimestamp atime, btime, ctime, mtime;
  std::uint32_t rdev_major;
  std::uint32_t rdev_minor;
  std::uint32_t dev_major;
  std::uint32_t dev_minor;
  std::uint64_t mnt_id;
  std::uint32_t dio_mem_align;
  std::uint32_t dio_offset_align;
  std::uint64_t reserved[12];
};
static_assert(sizeof(Statx) == 256 && offsetof(Statx, ino) == 32 && offsetof(Statx, atime) == 64 && offsetof(Statx, rdev_major) == 128 &&
              offsetof(Statx, mnt_id) == 144 && std::has_unique_object_representations_v<Statx>);
inline constexpr std::uint32_t kStatxBasicStats = 0x7ff, kStatxBtime = 0x800, kStatxMntId = 0x1000, kStatxReserved = 0x80000000;
inline constexpr std::uint64_t kStatxAttrMountRoot = 0x2000;

struct Statfs {
  std::uint64_t type;
  std::uint64_t bsize;
  std::uint64_t blocks;
  std::uint64_t bfree;
  std::uint64_t bavail;
  std::uint64_t files;
  std::uint64_t ffree;
  std::uint64_t fsid;
  std::uint64_t namelen;
  std::uint64_t frsize;
  std::uint64_t flags;
  std::uint64_t spare[4];
};
static_assert(sizeof(Statfs) == 120);

// The fixed part of linux_dirent64; name and NUL follow, records are padded to 8 bytes.
struct Dirent64Head {
  std::uint64_t ino;
  std::int64_t off;
  std::uint16_t reclen;
  std::uint8_t type;
  std::uint8_t name_start;  // first byte of the name
};
inline constexpr std::size_t kDirent64NameOffset = 19;
static_assert(offsetof(Dirent64Head, name_start) == kDirent64NameOffset);
// The old form (getdents): name at 18, type in the last byte of the record.
inline constexpr std::size_t kDirentNameOffset = 18;

struct Flock {
  std::int16_t type;
  std::int16_t whence;
  std::int32_t reserved0;
  std::int64_t start;
  std::int64_t len;
  std::int32_t pid;
  std::int32_t reserved1;
};
static_assert(sizeof(Flock) == 32 && offsetof(Flock, pid) == 24 && std::has_unique_object_representations_v<Flock>);

inline constexpr std::int32_t kOwnerThread = 0, kOwnerProcess = 1, kOwnerGroup = 2;
// F_NOTIFY
inline constexpr std::uint32_t kDnAccess = 1, kDnModify = 2, kDnCreate = 4, kDnDelete = 8, kDnRename = 16, kDnAttrib = 32, kDnMultiShot = 0x80000000;
struct FownerEx {
  std::int32_t type;
  std::int32_t pid;
};
static_assert(sizeof(FownerEx) == 8);

// struct open_how of openat2(2)
struct OpenHow {
  std::uint64_t flags;
  std::uint64_t mode;
  std::uint64_t resolve;
};
static_assert(sizeof(OpenHow) == 24);

// Device numbers as stat gives them.
constexpr std::uint64_t make_device(std::uint32_t major, std::uint32_t minor) {
  return (std::uint64_t{major & 0xfffff000U} << 32) | (std::uint64_t{major & 0xfffU} << 8) | (std::uint64_t{minor & 0xffffff00U} << 12) |
         (minor & 0xffU);
}
constexpr std::uint32_t device_major(std::uint64_t device) {
  return static_cast<std::uint32_t>(((device >> 8) & 0xfff) | ((device >> 32) & 0xfffff000));
}
constexpr std::uint32_t device_minor(std::uint64_t device) {
  return static_cast<std::uint32_t>((device & 0xff) | ((device >> 12) & 0xffffff00));
}

}  // namespace abi
#endif  // ABI_FS_H
