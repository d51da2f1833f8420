// Directories in RAM: an index by name and the entries in the order of their cookies, which readdir goes by.
#include <algorithm>

#include "kernel/fs/ram/ram_fs.h"

namespace kernel {

namespace {
// SAFETY: everything in a RAM file system is a RamInode, and rename and link stay within one file system (checked by names.cc).
RamInode& ram_inode(Inode& inode) { return static_cast<RamInode&>(inode); }
// SAFETY: as above, and the caller knows that it is a directory.
RamDirectory& ram_directory(Inode& inode) { return static_cast<RamDirectory&>(inode); }
}  // namespace

std::size_t RamDirectory::position(std::uint64_t cookie) const {
  return static_cast<std::size_t>(std::lower_bound(cookies_.begin(), cookies_.end(), cookie) - cookies_.begin());
}

RamDirectory::Entry* RamDirectory::find(std::string_view name) {
  const std::uint64_t* cookie = index_.find(name);
  return cookie == nullptr ? nullptr : order_[position(*cookie)].get();
}

void RamDirectory::changed() {
  touch(false, true);
  size_.store(index_.size() * 20, std::memory_order_relaxed);  // as tmpfs shows it
}

Result<> RamDirectory::add(std::string_view name, Ref<RamInode> inode) {
  if (link_count() == 0) return Errno::noent;  // it has been removed
  Own<Entry> entry = TRY(make_own<Entry>(TRY(String::from(name)), inode, next_cookie_));
  TRY(order_.try_reserve(order_.size() == order_.capacity() ? std::max<std::size_t>(8, order_.size() * 2) : 0));
  TRY(cookies_.try_reserve(cookies_.size() == cookies_.capacity() ? std::max<std::size_t>(8, cookies_.size() * 2) : 0));
  TRY(index_.try_insert(NameKey{entry.get()}, next_cookie_));
  TRY(cookies_.try_push(next_cookie_));
  TRY(order_.try_push(std::move(entry)));
  ++next_cookie_;
  changed();
  return {};
}

void RamDirectory::drop(Entry& entry) {
  const std::size_t at = position(entry.cookie);
  index_.erase(entry.name.view());
  order_[at] = nullptr;
  while (!order_.empty() && !order_.back()) {
    order_.pop_back();
    cookies_.pop_back();
  }
  if (order_.size() > 16 && index_.size() < order_.size() / 2) compact();
  changed();
}

// Removes the gaps; cookies stay as they are.
void RamDirectory::compact() {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < order_.size(); ++i) {
    if (!order_[i]) continue;
    if (kept != i) {
      order_[kept] = std::move(order_[i]);
      cookies_[kept] = cookies_[i];
    }
    ++kept;
  }
  while (order_.size() > kept) {
    order_.pop_back();
    cookies_.pop_back();
  }
}

Result<Ref<Inode>> RamDirectory::lookup(std::string_view name) {
  const Entry* entry = find(name);
  if (entry == nullptr) return Errno::noent;
  return Ref<Inode>(entry->inode);
}

Result<Ref<Inode>> RamDirectory::create(std::string_view name, Mode mode, std::uint64_t rdev, Owner owner) {
  const Ref<RamSuperblock> superblock(ram());
  RefPtr<RamInode> inode;
  if (type_of(mode) == FileType::regular)
    inode = TRY(make_ref<RamFile>(superblock, mode, owner));
  else
    inode = TRY(make_ref<RamInode>(superblock, mode, owner, rdev));
  TRY(add(name, inode.as_ref()));
  return Ref<Inode>(inode.as_ref());
}

Result<Ref<Inode>> RamDirectory::make_directory(std::string_view name, Mode mode, Owner owner) {
  const Ref<RamDirectory> directory = TRY(make_ref<RamDirectory>(Ref<RamSuperblock>(ram()), mode, owner));
  TRY(add(name, directory));
  add_link();
  return Ref<Inode>(directory);
}

Result<Ref<Inode>> RamDirectory::make_symlink(std::string_view name, std::string_view target, Owner owner) {
  const Ref<RamSymlink> link = TRY(make_ref<RamSymlink>(Ref<RamSuperblock>(ram()), TRY(String::from(target)),
                                                        mode_of(FileType::symlink) | 0777U, owner));
  TRY(add(name, link));
  return Ref<Inode>(link);
}

Result<Ref<Inode>> RamDirectory::create_unnamed(Mode mode, Owner owner) {
  const Ref<RamFile> file = TRY(make_ref<RamFile>(Ref<RamSuperblock>(ram()), mode, owner));
  file->set_links(0);
  return Ref<Inode>(file);
}

Result<> RamDirectory::link(std::string_view name, Inode& existing) {
  RamInode& file = ram_inode(existing);
  if (file.link_count() >= 0x7fffffff) return Errno::mlink;
  TRY(add(name, Ref<RamInode>(file)));
  file.add_link();
  file.note_change();
  return {};
}

Result<> RamDirectory::unlink(std::string_view name, Inode& victim) {
  Entry* entry = find(name);
  if (entry == nullptr) return Errno::noent;
  drop(*entry);
  ram_inode(victim).drop_link();
  ram_inode(victim).note_change();
  return {};
}

Result<> RamDirectory::remove_directory(std::string_view name, Inode& victim) {
  Entry* entry = find(name);
  if (entry == nullptr) return Errno::noent;
  if (!ram_directory(victim).is_empty()) return Errno::notempty;
  drop(*entry);
  ram_directory(victim).set_links(0);
  drop_link();
  return {};
}

Result<> RamDirectory::rename(std::string_view name, Inode& moved, Inode& to, std::string_view to_name, Inode* replaced, bool exchange) {
  RamDirectory& target = ram_directory(to);
  Entry* entry = find(name);
  if (entry == nullptr) return Errno::noent;
  const bool directory = moved.is_directory();
  if (exchange) {
    Entry* other = target.find(to_name);
    if (other == nullptr) return Errno::noent;
    std::swap(entry->inode, other->inode);
    const bool other_directory = replaced->is_directory();
    if (directory && !other_directory) drop_link(), target.add_link();
    if (!directory && other_directory) add_link(), target.drop_link();
  } else {
    if (replaced != nullptr && replaced->is_directory() && !ram_directory(*replaced).is_empty()) return Errno::notempty;
    if (Entry* there = target.find(to_name)) {
      Ref<RamInode> old = there->inode;
      there->inode = Ref<RamInode>(ram_inode(moved));
      if (old->is_directory()) {
        old->set_links(0);
        target.drop_link();
      } else {
        old->drop_link();
      }
      old->note_change();
    } else {
      TRY(target.add(to_name, Ref<RamInode>(ram_inode(moved))));
    }
    // `target` may be this directory: adding may have moved entries, the name has not.
    drop(*find(name));
    if (directory) {
      drop_link();
      target.add_link();
    }
  }
  changed();
  target.changed();
  ram_inode(moved).note_change();
  return {};
}

Result<> RamDirectory::read_directory(std::uint64_t offset, DirectorySink& sink) {
  for (std::size_t at = position(offset); at < order_.size(); ++at) {
    const Entry* entry = order_[at].get();
    if (entry == nullptr) continue;
    if (!sink.add({.name = entry->name, .ino = entry->inode->ino(), .type = entry->inode->type(), .next = entry->cookie + 1})) return {};
  }
  return {};
}

RefPtr<RamDirectory> RamDirectory::take_apart() {
  RefPtr<RamDirectory> chain = std::move(next_doomed_);
  while (!order_.empty()) {
    if (const Entry* entry = order_.back().get()) {
      if (entry->inode->is_directory()) {
        RefPtr<RamDirectory> inner(&ram_directory(*entry->inode));
        inner->next_doomed_ = std::move(chain);
        chain = std::move(inner);
      }
      index_.erase(entry->name.view());
    }
    order_.pop_back();
    cookies_.pop_back();
  }
  return chain;
}

}  // namespace kernel
