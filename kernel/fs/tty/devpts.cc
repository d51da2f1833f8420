#include "kernel/fs/tty/devpts.h"

#include <atomic>
#include <utility>

#include "abi/fs.h"
#include "kernel/fs/pseudo/pseudo.h"
#include "kernel/fs/tty/pty_file.h"
#include "kernel/vfs/dentry_cache.h"
#include "kernel/vfs/mount.h"

namespace kernel {

namespace {

// As Debian mounts it: readable and writable by the user, writable by the group "tty".
constexpr std::uint32_t kTtyGroup = 5;
constexpr Mode kSlaveMode = 0620, kPtmxMode = 0666;
constexpr std::uint32_t kUnset = ~std::uint32_t{0};

struct Table {
  SpinLock<LockRank::terminal> lock;
  Vec<RefPtr<Pty>> pairs GUARDED_BY(lock);
  RefPtr<Superblock> mounted GUARDED_BY(lock);  // the last that was made
  std::atomic<std::uint32_t> count{0};
  std::atomic<std::uint32_t> uid{kUnset}, gid{kTtyGroup}, mode{kSlaveMode};  // of new nodes
};
constinit Table table;  // NOLINT: one for the instance

RefPtr<Pty> find_pty(std::uint64_t number) {
  const LockGuard guard(table.lock);
  return number < table.pairs.size() ? table.pairs[static_cast<std::size_t>(number)] : RefPtr<Pty>();
}

Result<Ref<Pty>> new_pty() {
  for (;;) {
    std::size_t number = 0;
    {
      const LockGuard guard(table.lock);
      while (number < table.pairs.size() && table.pairs[number]) ++number;
    }
    if (number >= kMaxPtys) return Errno::nospc;
    const Ref<Pty> pty = TRY(make_ref<Pty>(static_cast<std::uint32_t>(number)));
    TRY(pty->allocate());
    Vec<RefPtr<Pty>> larger;  // grown outside of the lock
    TRY(larger.try_reserve(number + 16));
    const LockGuard guard(table.lock);
    if (number == table.pairs.size()) {
      if (number == table.pairs.capacity()) {
        for (RefPtr<Pty>& pair : table.pairs) TRY(larger.try_push(std::move(pair)));
        std::swap(table.pairs, larger);
      }
      TRY(table.pairs.try_push(pty));
    } else if (number < table.pairs.size() && !table.pairs[number]) {
      table.pairs[number] = pty;
    } else {
      continue;  // somebody was faster
    }
    table.count.fetch_add(1, std::memory_order_relaxed);
    return pty;
  }
}

// The node of a slave. Its attributes are the pair's, so that they are the same in every mount.
class SlaveInode final : public PseudoInode {
 public:
  static constexpr std::uint64_t kFirstIno = 3;
  SlaveInode(Ref<Superblock> superblock, Ref<Pty> pty)
      : PseudoInode(superblock, pty->number() + kFirstIno, mode_of(FileType::character) | pty->node_mode.load(),
                    {.uid = pty->owner_uid.load(), .gid = pty->owner_gid.load()}),
        pty_(pty) {
    rdev_.store(pty->device());
  }
  Result<> change_attributes(const AttributeChange& change) override {
    if (change.mode) pty_->node_mode.store(*change.mode & kModePermMask);
    if (change.uid) pty_->owner_uid.store(*change.uid);
    if (change.gid) pty_->owner_gid.store(*change.gid);
    set_mode(mode_of(FileType::character) | pty_->node_mode.load());
    set_owner({.uid = pty_->owner_uid.load(), .gid = pty_->owner_gid.load()});
    if (change.atime) atime_.store(*change.atime);
    if (change.mtime) mtime_.store(*change.mtime);
    ctime_.store(current_file_time());
    return {};
  }
  Result<Ref<OpenFile>> open(Dentry& where, std::uint32_t flags) override {
    if ((kernel::mount_flags(where) & kMountNoDev) != 0) return Errno::acces;
    return pty_->open(RefPtr<Dentry>(&where), RefPtr<Inode>(this), flags);
  }

 private:
  const Ref<Pty> pty_;
};

class PtmxInode final : public PseudoInode {
 public:
  static constexpr std::uint64_t kIno = 2;
  explicit PtmxInode(Ref<Superblock> superblock) : PseudoInode(superblock, kIno, mode_of(FileType::character) | kPtmxMode) {
    rdev_.store(abi::make_device(kTerminalMajor, kPtmxMinor));
  }
};

class PtsRoot final : public PseudoInode {
 public:
  explicit PtsRoot(Ref<Superblock> superblock) : PseudoInode(superblock, 1, mode_of(FileType::directory) | 0755) {}

  Result<Ref<Inode>> lookup(std::string_view name) override {
    const Ref<Superblock> here(superblock());
    if (name == "ptmx") return Ref<Inode>(TRY(make_ref<PtmxInode>(here)));
    auto number = parse_decimal(name);
    if (!number.ok() || (name.size() > 1 && name.front() == '0')) return Errno::noent;
    const RefPtr<Pty> pty = find_pty(std::move(number).release());
    if (!pty) return Errno::noent;
    return Ref<Inode>(TRY(make_ref<SlaveInode>(here, pty.as_ref())));
  }

  Result<> read_directory(std::uint64_t offset, DirectorySink& sink) override {
    constexpr std::uint64_t kFirst = 2;  // offset of "ptmx"; pair n is at kFirst + 1 + n
    if (offset <= kFirst && !sink.add({.name = "ptmx", .ino = PtmxInode::kIno, .type = FileType::character, .next = kFirst + 1})) return {};
    for (std::uint64_t number = offset <= kFirst ? 0 : offset - kFirst - 1; number < kMaxPtys; ++number) {
      if (!find_pty(number)) continue;
      const Digits name(number);
      if (!sink.add({.name = name.view(), .ino = SlaveInode::kFirstIno + number, .type = FileType::character, .next = kFirst + 2 + number})) return {};
    }
    return {};
  }
};

Result<Ref<Inode>> make_root(Ref<PseudoSuperblock> superblock) { return Ref<Inode>(TRY(make_ref<PtsRoot>(superblock))); }

Result<std::uint32_t> parse_mode(std::string_view text) {
  std::uint32_t mode = 0;
  for (const char c : text) {
    if (c < '0' || c > '7' || mode > 0777) return Errno::inval;
    mode = mode * 8 + static_cast<std::uint32_t>(c - '0');
  }
  return mode;
}

Result<> apply_options(std::string_view options) {
  while (!options.empty()) {
    const std::size_t comma = options.find(',');
    const std::string_view option = options.substr(0, comma);
    options = comma == std::string_view::npos ? std::string_view() : options.substr(comma + 1);
    if (option.starts_with("uid=")) table.uid.store(static_cast<std::uint32_t>(TRY(parse_decimal(option.substr(4)))));
    if (option.starts_with("gid=")) table.gid.store(static_cast<std::uint32_t>(TRY(parse_decimal(option.substr(4)))));
    if (option.starts_with("mode=")) table.mode.store(TRY(parse_mode(option.substr(5))));
  }
  return {};
}

}  // namespace

Result<Ref<Superblock>> make_devpts(std::string_view, std::string_view options) {
  TRY(apply_options(options));
  const Ref<Superblock> superblock = TRY(make_pseudo_file_system("devpts", abi::kMagicDevpts, make_root));
  RefPtr<Superblock> old = superblock;  // dropped after the lock
  const LockGuard guard(table.lock);
  std::swap(table.mounted, old);
  return superblock;
}

Result<Ref<OpenFile>> open_master(Dentry& where, Inode& inode, std::uint32_t flags) {
  const Ref<Pty> pty = TRY(new_pty());
  const Credentials& who = current_task().credentials();
  const std::uint32_t uid = table.uid.load(), gid = table.gid.load();
  pty->owner_uid.store(uid == kUnset ? who.fsuid : uid);
  pty->owner_gid.store(gid);
  pty->node_mode.store(table.mode.load());
  auto file = make_ref<MasterFile>(where, inode, pty, flags);
  if (!file.ok()) {
    forget_pty(*pty);
    return file.error();
  }
  return Ref<OpenFile>(std::move(file).release());
}

Result<Ref<OpenFile>> open_peer(Pty& pty, std::uint32_t flags) {
  RefPtr<Superblock> superblock;
  {
    const LockGuard guard(table.lock);
    superblock = table.mounted;
  }
  const RefPtr<Mount> mount = superblock ? mount_of(*superblock) : RefPtr<Mount>();
  if (!mount) return Errno::io;
  const Ref<Inode> root(mount->root()->existing_inode());
  RefPtr<Dentry> node;
  {
    const LockGuard guard(root->directory_mutex());
    node = TRY(DentryCache::instance().child(*mount->root(), Digits(pty.number()).view()));
  }
  const RefPtr<Inode> inode = node->inode();
  if (!inode) return Errno::io;
  constexpr std::uint32_t kKept = abi::kOAccMode | abi::kSettableFlags | abi::kONoCtty;
  return inode->open(*node, flags & kKept);
}

void forget_pty(Pty& pty) {
  RefPtr<Pty> kept;  // dropped after the lock
  const LockGuard guard(table.lock);
  if (pty.number() >= table.pairs.size() || table.pairs[pty.number()].get() != &pty) return;
  std::swap(kept, table.pairs[pty.number()]);
  table.count.fetch_sub(1, std::memory_order_relaxed);
}

std::uint32_t pty_count() { return table.count.load(std::memory_order_relaxed); }

}  // namespace kernel
