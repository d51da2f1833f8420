// Directories of the union.
#include "abi/fs.h"
#include "kernel/fs/union/union_fs.h"

namespace kernel {

namespace {

// Offsets of the lower half's entries in the merged list.
constexpr std::uint64_t kLowerOffsets = std::uint64_t{1} << 62;

bool is_whiteout(const Inode& inode) { return inode.type() == FileType::character && inode.attributes().rdev == 0; }

// SAFETY: every inode that the VFS passes to a directory of the union comes from it.
UnionInode& union_inode(Inode& inode) { return static_cast<UnionInode&>(inode); }

Result<RefPtr<Inode>> entry_of(Inode* directory, std::string_view name) {
  if (directory == nullptr) return RefPtr<Inode>();
  const LockGuard guard(directory->directory_mutex());
  Result<Ref<Inode>> found = directory->lookup(name);
  if (found.ok()) return RefPtr<Inode>(std::move(found).release());
  if (found.error() == Errno::noent) return RefPtr<Inode>();
  return found.error();
}

}  // namespace

Result<RefPtr<Inode>> UnionInode::lower_entry(std::string_view name) {
  if (!lower_ || !lower_->is_directory()) return RefPtr<Inode>();
  return entry_of(lower_.get(), name);
}

Result<RefPtr<Inode>> UnionInode::upper_entry(std::string_view name) { return entry_of(upper(), name); }

Result<Ref<Inode>> UnionInode::lookup(std::string_view name) {
  if (!is_directory()) return Errno::notdir;
  if (const RefPtr<Inode> up = TRY(upper_entry(name))) {
    if (is_whiteout(*up)) return Errno::noent;
    return Ref<Inode>(TRY(union_.from_upper(up.as_ref())));
  }
  const RefPtr<Inode> low = TRY(lower_entry(name));
  if (!low) return Errno::noent;
  return Ref<Inode>(TRY(union_.from_lower(low.as_ref())));
}

Result<> UnionInode::put_whiteout(std::string_view name) {
  const Ref<Inode> up = TRY(make_upper());
  const LockGuard guard(up->directory_mutex());
  TRY(up->create(name, mode_of(FileType::character), 0, {}));
  return {};
}

Result<bool> UnionInode::clear_name(std::string_view name) {
  const Ref<Inode> up = TRY(make_upper());
  const LockGuard guard(up->directory_mutex());
  Result<Ref<Inode>> found = up->lookup(name);
  if (!found.ok()) return found.error() == Errno::noent ? Result<bool>(false) : Result<bool>(found.error());
  const Ref<Inode> there = std::move(found).release();
  if (!is_whiteout(*there)) return Errno::exist;
  TRY(up->unlink(name, *there));
  return true;
}

Result<Ref<Inode>> UnionInode::create(std::string_view name, Mode mode, std::uint64_t rdev, Owner owner) {
  if (type_of(mode) == FileType::character && rdev == 0) return Errno::perm;  // would look like a whiteout
  const bool covered = TRY(clear_name(name));
  const Ref<Inode> up = TRY(make_upper());
  Result<Ref<Inode>> made = [&] {
    const LockGuard guard(up->directory_mutex());
    return up->create(name, mode, rdev, owner);
  }();
  if (!made.ok()) {
    if (covered) TRY(put_whiteout(name));
    return made.error();
  }
  return Ref<Inode>(TRY(union_.from_upper(std::move(made).release())));
}

Result<Ref<Inode>> UnionInode::make_directory(std::string_view name, Mode mode, Owner owner) {
  const bool covered = TRY(clear_name(name));
  const Ref<Inode> up = TRY(make_upper());
  Result<Ref<Inode>> made = [&] {
    const LockGuard guard(up->directory_mutex());
    return up->make_directory(name, mode, owner);
  }();
  if (!made.ok()) {
    if (covered) TRY(put_whiteout(name));
    return made.error();
  }
  return Ref<Inode>(TRY(union_.from_upper(std::move(made).release())));
}

Result<Ref<Inode>> UnionInode::make_symlink(std::string_view name, std::string_view target, Owner owner) {
  const bool covered = TRY(clear_name(name));
  const Ref<Inode> up = TRY(make_upper());
  Result<Ref<Inode>> made = [&] {
    const LockGuard guard(up->directory_mutex());
    return up->make_symlink(name, target, owner);
  }();
  if (!made.ok()) {
    if (covered) TRY(put_whiteout(name));
    return made.error();
  }
  return Ref<Inode>(TRY(union_.from_upper(std::move(made).release())));
}

Result<Ref<Inode>> UnionInode::create_unnamed(Mode mode, Owner owner) {
  const Ref<Inode> up = TRY(make_upper());
  RefPtr<Inode> file;
  {
    const LockGuard guard(up->directory_mutex());
    file = TRY(up->create_unnamed(mode, owner));
  }
  return Ref<Inode>(TRY(union_.from_upper(file.as_ref())));
}

Result<> UnionInode::link(std::string_view name, Inode& existing) {
  UnionInode& file = union_inode(existing);
  const Ref<Inode> file_up = TRY(file.make_upper());
  const bool covered = TRY(clear_name(name));
  const Ref<Inode> up = TRY(make_upper());
  {
    const LockGuard guard(up->directory_mutex());
    const Result<> linked = up->link(name, *file_up);
    if (linked.ok()) {
      file.note_linked();
      return {};
    }
    if (!covered) return linked;
  }
  TRY(put_whiteout(name));
  return Errno::nospc;
}

Result<> UnionInode::unlink(std::string_view name, Inode& victim) {
  const RefPtr<Inode> there = TRY(upper_entry(name));
  const bool below = static_cast<bool>(TRY(lower_entry(name)));
  const Ref<Inode> up = TRY(make_upper());
  if (there) {
    const LockGuard guard(up->directory_mutex());
    TRY(up->unlink(name, *there));
  }
  if (below) TRY(put_whiteout(name));
  union_inode(victim).note_unlinked();
  return {};
}

namespace {

// Takes the first entry only.
class FirstEntry final : public DirectorySink {
 public:
  bool add(const DirectoryEntry&) override {
    found_ = true;
    return false;
  }
  bool found() const { return found_; }

 private:
  bool found_ = false;
};

// Keeps the name of the first entry.
class FirstName final : public DirectorySink {
 public:
  bool add(const DirectoryEntry& entry) override {
    if (name_.empty()) name_.append_clipped(entry.name);
    return false;
  }
  std::string_view name() const LIFETIMEBOUND { return name_; }

 private:
  FixedString<kNameMax> name_;
};

}  // namespace

Result<bool> UnionInode::has_visible_entries() {
  FirstEntry sink;
  TRY(read_directory(2, sink));
  return sink.found();
}

Result<> UnionInode::purge_whiteouts() {
  Inode* up = upper();
  if (up == nullptr) return {};
  const LockGuard guard(up->directory_mutex());
  for (;;) {
    FirstName first;
    TRY(up->read_directory(2, first));
    if (first.name().empty()) return {};
    const Ref<Inode> there = TRY(up->lookup(first.name()));
    if (!is_whiteout(*there)) return Errno::notempty;
    TRY(up->unlink(first.name(), *there));
  }
}

Result<> UnionInode::remove_directory(std::string_view name, Inode& victim) {
  UnionInode& gone = union_inode(victim);
  if (TRY(gone.has_visible_entries())) return Errno::notempty;
  const RefPtr<Inode> there = TRY(upper_entry(name));
  const bool below = static_cast<bool>(TRY(lower_entry(name)));
  const Ref<Inode> up = TRY(make_upper());
  TRY(gone.purge_whiteouts());
  if (there) {
    const LockGuard guard(up->directory_mutex());
    TRY(up->remove_directory(name, *there));
  } else if (Inode* copy = gone.upper()) {
    const LockGuard guard(union_.copies_->directory_mutex());
    TRY(union_.copies_->remove_directory(Digits(gone.ino()), *copy));
  }
  if (below) TRY(put_whiteout(name));
  return {};
}

Result<> UnionInode::move_upper(std::string_view name, UnionInode& moved, UnionInode& to, std::string_view to_name) {
  const Ref<Inode> half = TRY(moved.make_upper());
  const Ref<Inode> target = TRY(to.make_upper());
  const RefPtr<Inode> here = TRY(upper_entry(name));
  RefPtr<Inode> replaced = TRY(to.upper_entry(to_name));
  // From this directory, or from "copies".
  const bool from_copies = here != half;
  Inode& source = from_copies ? *union_.copies_ : *upper();
  const Digits copy_name(moved.ino());
  const std::string_view old_name = from_copies ? copy_name.view() : name;
  if (from_copies && !moved.is_directory()) {
    // Other lower names of the file may lead to the copy: it stays there, and gets a name more.
    const LockGuard guard(target->directory_mutex());
    if (replaced) TRY(target->unlink(to_name, *replaced));
    return target->link(to_name, *half);
  }
  if (replaced && moved.is_directory()) {
    // What is there is a whiteout or an empty directory.
    const LockGuard guard(target->directory_mutex());
    TRY(replaced->is_directory() ? target->remove_directory(to_name, *replaced) : target->unlink(to_name, *replaced));
    replaced = nullptr;
  }
  if (&source == target.get()) {
    const LockGuard guard(source.directory_mutex());
    return source.rename(old_name, *half, *target, to_name, replaced.get(), false);
  }
  // Both upper mutexes, by address: renames are the only ones that hold two.
  Inode& first = &source < target.get() ? source : *target;
  Inode& second = &source < target.get() ? *target : source;
  const LockGuard first_guard(first.directory_mutex());
  const LockGuard second_guard(second.directory_mutex());
  return source.rename(old_name, *half, *target, to_name, replaced.get(), false);
}

Result<> UnionInode::rename(std::string_view name, Inode& moved_inode, Inode& to_inode, std::string_view to_name, Inode* replaced,
                            bool exchange_both) {
  UnionInode& moved = union_inode(moved_inode);
  UnionInode& to = union_inode(to_inode);
  if (exchange_both) return exchange(name, moved, to, to_name, union_inode(*replaced));
  UnionInode* old = replaced != nullptr ? &union_inode(*replaced) : nullptr;
  if (old != nullptr && old->is_directory()) {
    if (TRY(old->has_visible_entries())) return Errno::notempty;
    TRY(old->purge_whiteouts());
  }
  const bool below = static_cast<bool>(TRY(lower_entry(name)));
  TRY(move_upper(name, moved, to, to_name));
  // The old name: gone from the upper side now, unless the file only got a name more.
  if (below && !TRY(upper_entry(name))) TRY(put_whiteout(name));
  if (old != nullptr) old->note_unlinked();
  return {};
}

// Both get upper names, by way of a name that no program can make (it holds a slash).
Result<> UnionInode::exchange(std::string_view name, UnionInode& moved, UnionInode& to, std::string_view to_name, UnionInode& other) {
  constexpr std::string_view kParking = "/exchange";
  TRY(moved.make_upper());
  TRY(other.make_upper());
  const bool below = static_cast<bool>(TRY(lower_entry(name)));
  const bool to_below = static_cast<bool>(TRY(to.lower_entry(to_name)));
  TRY(move_upper(name, moved, *this, kParking));
  if (below && !TRY(upper_entry(name))) TRY(put_whiteout(name));
  TRY(to.move_upper(to_name, other, *this, name));
  if (to_below && !TRY(to.upper_entry(to_name))) TRY(to.put_whiteout(to_name));
  return move_upper(kParking, moved, to, to_name);
}

namespace {

// Upper entries as they are seen: without whiteouts, with the union's numbers.
class UpperSink final : public DirectorySink {
 public:
  UpperSink(UnionSuperblock& owner, Inode& directory, DirectorySink& target) : owner_(owner), directory_(directory), target_(target) {}
  bool add(const DirectoryEntry& entry) override {
    if (entry.type == FileType::character) {
      const Result<Ref<Inode>> found = directory_.lookup(entry.name);  // its mutex is held by the listing
      if (found.ok() && is_whiteout(*Result<Ref<Inode>>(found).release())) return true;
    }
    full_ = !target_.add({.name = entry.name, .ino = owner_.number_of_upper(entry.ino), .type = entry.type, .next = entry.next});
    return !full_;
  }
  bool full() const { return full_; }

 private:
  UnionSuperblock& owner_;
  Inode& directory_;
  DirectorySink& target_;
  bool full_ = false;
};

// Lower entries that no upper name covers.
class LowerSink final : public DirectorySink {
 public:
  LowerSink(Inode* upper, DirectorySink& target) : upper_(upper), target_(target) {}
  bool add(const DirectoryEntry& entry) override {
    const Result<RefPtr<Inode>> over = entry_of(upper_, entry.name);
    if (over.ok() && Result<RefPtr<Inode>>(over).release()) return true;
    return target_.add({.name = entry.name, .ino = entry.ino, .type = entry.type, .next = kLowerOffsets + entry.next});
  }

 private:
  Inode* upper_;
  DirectorySink& target_;
};

}  // namespace

Result<> UnionInode::read_directory(std::uint64_t offset, DirectorySink& sink) {
  if (!is_directory()) return Errno::notdir;
  Inode* up = upper();
  if (up != nullptr && offset < kLowerOffsets) {
    const LockGuard guard(up->directory_mutex());
    UpperSink upper_sink(union_, *up, sink);
    TRY(up->read_directory(offset, upper_sink));
    if (upper_sink.full()) return {};
  }
  if (!lower_ || !lower_->is_directory()) return {};
  const LockGuard guard(lower_->directory_mutex());
  LowerSink lower_sink(up, sink);
  return lower_->read_directory(offset >= kLowerOffsets ? offset - kLowerOffsets : 2, lower_sink);
}

}  // namespace kernel
