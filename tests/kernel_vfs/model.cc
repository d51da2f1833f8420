#include "tests/kernel_vfs/model.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "abi/fs.h"
#include "kernel/base/heap.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/heap.h"
#include "kernel/frame/user.h"
#include "kernel/host/clock.h"
#include "kernel/host/image.h"
#include "kernel/host/log.h"
#include "kernel/mm/shared.h"
#include "kernel/sync/wait.h"
#include "kernel/task/thread.h"
#include "kernel/vfs/dentry_cache.h"
#include "kernel/vfs/mount.h"

namespace {
std::vector<std::byte> the_image;
std::vector<std::string> the_log;
std::atomic<bool> out_of_pages = false;
}  // namespace

namespace kernel {

void panic(const char* what, const char* file, int line) {
  std::fprintf(stderr, "panic: %s at %s:%d\n", what, file, line);
  std::abort();
}

void* heap_allocate(std::size_t size, std::size_t align) {
  return std::aligned_alloc(std::max<std::size_t>(16, align), (std::max<std::size_t>(size, 1) + std::max<std::size_t>(16, align) - 1) /
                                                                  std::max<std::size_t>(16, align) * std::max<std::size_t>(16, align));
}
void heap_free(void* memory, std::size_t, std::size_t) { std::free(memory); }

void copy_bytes(std::span<std::byte> to, std::span<const std::byte> from) {
  KASSERT(from.size() <= to.size());
  if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
}
void fill_bytes(std::span<std::byte> to, std::byte value) {
  if (!to.empty()) std::memset(to.data(), static_cast<int>(value), to.size());
}
std::string_view text_of(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

namespace frame {
Result<std::span<std::byte>> allocate_pages(std::size_t pages) {
  if (out_of_pages) return Errno::nomem;
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(kPageSize, pages * kPageSize));
  if (memory == nullptr) return Errno::nomem;
  std::memset(memory, 0xa5, pages * kPageSize);  // content is undefined: make that visible
  return std::span<std::byte>(memory, pages * kPageSize);
}
void free_pages(std::span<std::byte> pages) { std::free(pages.data()); }
HeapUsage heap_usage() { return {.committed = 64 << 20, .used = 0, .limit = 256 << 20}; }
void announce_copy() {}
void abandon_copy() {}
Result<std::size_t> copy_from_user_partial(std::span<std::byte> into, std::uint64_t address) {
  std::memcpy(into.data(), reinterpret_cast<const void*>(address), into.size());
  return into.size();
}
Result<std::size_t> copy_to_user_partial(std::uint64_t address, std::span<const std::byte> from) {
  std::memcpy(reinterpret_cast<void*>(address), from.data(), from.size());
  return from.size();
}
Result<> copy_to_user(std::uint64_t address, std::span<const std::byte> from) {
  std::memcpy(reinterpret_cast<void*>(address), from.data(), from.size());
  return {};
}
Result<std::size_t> copy_string_from_user(std::span<char>, std::uint64_t) { return Errno::fault; }
}  // namespace frame

#ifndef OCCLUM_KERNEL_LOCKS  // tests/kernel_threads has kernel/sync itself
namespace sync_detail {
void spin_lock(std::atomic<std::uint32_t>& word, LockRank) {
  KASSERT(word.exchange(1, std::memory_order_acquire) == 0);  // one thread
}
void spin_unlock(std::atomic<std::uint32_t>& word, LockRank) { word.store(0, std::memory_order_release); }
void mutex_lock(MutexState& state, LockRank) {
  KASSERT(state.word.exchange(1, std::memory_order_acquire) == 0);  // one thread: a lock taken twice is a deadlock
}
void mutex_unlock(MutexState& state, LockRank) { state.word.store(0, std::memory_order_release); }
}  // namespace sync_detail

void assert_no_spinlocks_held() {}
Sleeper& current_sleeper() { panic("a wait in a test", __FILE_NAME__, __LINE__); }
ParkResult park(Instant, Interruptible) { return ParkResult::interrupted; }
void WaitQueue::add(Waiter&) {}
void WaitQueue::add_first(Waiter&) {}
void WaitQueue::remove(Waiter&) {}
void WaitQueue::wake_all(std::uint32_t) {}
void WaitQueue::wake_one(std::uint32_t) {}
#endif
void preemption_point() {}

std::uint64_t realtime_now() {
  static std::atomic<std::uint64_t> now = 1'700'000'000'000'000'000;
  return now.fetch_add(1000, std::memory_order_relaxed) + 1000;
}

bool log_enabled(LogLevel level) { return level <= LogLevel::info; }
LogLine& LogLine::operator<<(std::string_view text) {
  const std::size_t count = std::min(text.size(), buffer_.size() - used_);
  std::copy_n(text.begin(), count, buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
  used_ += count;
  return *this;
}
LogLine& LogLine::decimal(std::uint64_t number) { return *this << std::string_view(std::to_string(number)); }
void LogLine::write() {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  the_log.emplace_back(buffer_.data(), used_);
}

FileBacking::~FileBacking() = default;
void read_through_window(FileBacking&, std::uint64_t, std::span<std::byte>) {}
void write_through_window(FileBacking&, std::uint64_t, std::span<const std::byte>) {}
void zero_through_window(FileBacking&, std::uint64_t, std::uint64_t) {}
void truncate_window(FileBacking&, std::uint64_t) {}
void truncate_private(FileBacking&, std::uint64_t) {}

namespace host {
std::uint64_t image_size() { return the_image.size(); }
Result<> read_image(std::uint64_t offset, std::span<std::byte> into) {
  if (offset > the_image.size() || into.size() > the_image.size() - offset) return Errno::io;
  std::memcpy(into.data(), the_image.data() + offset, into.size());
  return {};
}
}  // namespace host

}  // namespace kernel

namespace model {

using namespace kernel;

void set_image(std::vector<std::byte> bytes) { the_image = std::move(bytes); }
std::vector<std::byte>& image() { return the_image; }
void set_out_of_pages(bool out) { out_of_pages = out; }
std::vector<std::string> take_log() { return std::exchange(the_log, {}); }

void start_tree(Ref<Superblock> root) {
  const Result<> ready = DentryCache::init();
  if (!ready.ok() || !install_root(root, 0).ok()) std::abort();
}

World::World() {
  fs = make_ref<FsContext>(root_dentry(), root_dentry()).release();
  fs->exchange_umask(022);
}

Result<Ref<Dentry>> World::find(const std::string& path, bool follow) const {
  PathWalk walk(*fs, nullptr, who);
  return walk.find(path, follow ? kWalkFollow : 0);
}

Errno World::mkdir(const std::string& path, Mode mode) const { return error_of(make_directory_at(context(), nullptr, path, mode)); }
Errno World::unlink(const std::string& path) const { return error_of(unlink_at(context(), nullptr, path)); }
Errno World::rmdir(const std::string& path) const { return error_of(remove_directory_at(context(), nullptr, path)); }
Errno World::rename(const std::string& from, const std::string& to, std::uint32_t flags) const {
  const auto both = [&]() -> Result<> {
    TRY(check_rename_flags(flags));
    PathWalk from_walk(*fs, nullptr, who);
    const Ref<Dentry> from_parent = TRY(from_walk.find_parent(from, 0));
    PathWalk to_walk(*fs, nullptr, who);
    const Ref<Dentry> to_parent = TRY(to_walk.find_parent(to, 0));
    return rename_at(context(), {.walk = from_walk, .parent = *from_parent}, {.walk = to_walk, .parent = *to_parent}, flags);
  };
  return error_of(both());
}
Errno World::symlink(const std::string& target, const std::string& path) const {
  return error_of(make_symlink_at(context(), nullptr, path, target));
}
Errno World::link(const std::string& from, const std::string& to) const {
  Result<Ref<Dentry>> found = find(from, false);
  if (!found.ok()) return found.error();
  const Ref<Dentry> existing = std::move(found).release();
  return error_of(make_link_at(context(), *existing, nullptr, to));
}
Errno World::stat_error(const std::string& path, bool follow) const { return error_of(find(path, follow)); }

namespace {
Errno put(const World& world, const std::string& path, const std::string& content, std::uint32_t flags) {
  Result<Ref<OpenFile>> opened = open_at(world.context(), nullptr, path, flags, 0644);
  if (!opened.ok()) return opened.error();
  const FileHandle handle(std::move(opened).release());
  IoSource source(std::as_bytes(std::span(content)));
  if (content.empty()) return {};
  const Result<std::size_t> written = handle.file()->write(source);
  if (!written.ok()) return written.error();
  return Result<std::size_t>(written).release() == content.size() ? Errno{} : Errno::nospc;
}
}  // namespace

Errno World::write_file(const std::string& path, const std::string& content, std::uint32_t extra_flags) const {
  return put(*this, path, content, abi::kOWrOnly | abi::kOCreat | abi::kOTrunc | extra_flags);
}
Errno World::append_file(const std::string& path, const std::string& content) const {
  return put(*this, path, content, abi::kOWrOnly | abi::kOAppend);
}

std::string content_of(Inode& inode) {
  std::string content;
  std::vector<std::byte> buffer(10000);
  for (;;) {
    IoSink sink{std::span<std::byte>(buffer)};
    const Result<std::size_t> got = inode.read_at(content.size(), sink);
    if (!got.ok()) return "?" + std::to_string(static_cast<int>(got.error()));
    const std::size_t count = Result<std::size_t>(got).release();
    if (count == 0) return content;
    content.append(reinterpret_cast<const char*>(buffer.data()), count);
  }
}

std::string World::read_file(const std::string& path) const {
  Result<Ref<OpenFile>> opened = open_at(context(), nullptr, path, abi::kORdOnly, 0);
  if (!opened.ok()) return "?" + std::to_string(static_cast<int>(opened.error()));
  const FileHandle handle(std::move(opened).release());
  return content_of(*handle.file()->inode());
}

std::string World::read_link(const std::string& path) const {
  Result<Ref<Dentry>> found = find(path, false);
  if (!found.ok()) return "?" + std::to_string(static_cast<int>(found.error()));
  std::array<char, kPathMax> text{};
  const Result<std::size_t> size = std::move(found).release()->existing_inode().read_link(text);
  if (!size.ok()) return "?" + std::to_string(static_cast<int>(size.error()));
  return {text.data(), Result<std::size_t>(size).release()};
}

namespace {
class NameSink final : public DirectorySink {
 public:
  NameSink(std::vector<std::string>& names, std::size_t room) : names_(names), room_(room) {}
  bool add(const DirectoryEntry& entry) override {
    if (room_ == 0) return false;
    --room_;
    ++taken;
    if (entry.name != "." && entry.name != "..") names_.emplace_back(entry.name);
    return true;
  }
  std::size_t taken = 0;

 private:
  std::vector<std::string>& names_;
  std::size_t room_;
};
}  // namespace

std::vector<std::string> World::list(const std::string& path, std::size_t entries_at_once) const {
  std::vector<std::string> names;
  Result<Ref<OpenFile>> opened = open_at(context(), nullptr, path, abi::kODirectory, 0);
  if (!opened.ok()) return {"?" + std::to_string(static_cast<int>(opened.error()))};
  const FileHandle handle(std::move(opened).release());
  for (;;) {
    NameSink sink(names, entries_at_once);
    const Result<> read = handle.file()->read_directory(sink);
    if (!read.ok()) return {"?" + std::to_string(static_cast<int>(read.error()))};
    if (sink.taken == 0) break;
  }
  std::sort(names.begin(), names.end());
  return names;
}

Attributes World::attributes(const std::string& path, bool follow) const {
  Result<Ref<Dentry>> found = find(path, follow);
  if (!found.ok()) return {};
  return std::move(found).release()->existing_inode().attributes();
}

}  // namespace model
