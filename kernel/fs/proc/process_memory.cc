// /proc/PID/maps, smaps, mem and the texts that execve left in the program's memory.
#include <algorithm>
#include <array>

#include "abi/fs.h"
#include "kernel/frame/bytes.h"
#include "kernel/fs/proc/procfs.h"
#include "kernel/mm/address_space.h"

namespace kernel::proc {
namespace {

constexpr std::size_t kNameColumn = 72;  // fs/proc/task_mmu.c: 25 + 6 * sizeof(void *) - 1
constexpr std::size_t kMostText = 1 << 20;  // of a command line or environment

// One line of maps, up to where the name begins.
void show_area(const AreaInfo& area, Text& out) {
  const std::size_t start = out.size();
  out.hex(area.begin, 8) << '-';
  out.hex(area.end, 8) << ' ' << ((area.prot & kProtRead) != 0 ? 'r' : '-') << ((area.prot & kProtWrite) != 0 ? 'w' : '-')
                       << ((area.prot & kProtExec) != 0 ? 'x' : '-') << (area.shared ? 's' : 'p') << ' ';
  const std::uint64_t device = area.file ? area.file->device_number() : 0;
  out.hex(area.file ? area.offset : 0, 8) << ' ';
  out.hex(abi::device_major(device), 2) << ':';
  out.hex(abi::device_minor(device), 2) << ' ' << (area.file ? area.file->inode_number() : 0) << ' ';
  if (area.label) {
    const std::size_t used = out.size() - start;
    out.spaces(used < kNameColumn ? kNameColumn - used : 0) << ' ';
    for (const char c : area.label->text()) {
      if (c == '\n')
        out << "\\012";
      else
        out << c;
    }
  }
  out << '\n';
}

void size_line(Text& out, std::string_view name, std::uint64_t bytes) {
  out.left(name, 16).right(bytes / 1024, 8) << " kB\n";
}

// The lines that smaps and smaps_rollup share. What is resident counts as private and written, or as shared.
void show_sizes(Text& out, std::uint64_t resident, std::uint64_t shared, std::uint64_t anonymous, std::uint64_t locked, bool rollup) {
  size_line(out, "Rss:", resident);
  size_line(out, "Pss:", resident);
  if (rollup) {
    size_line(out, "Pss_Anon:", anonymous);
    size_line(out, "Pss_File:", resident - shared - anonymous);
    size_line(out, "Pss_Shmem:", shared);
  }
  size_line(out, "Shared_Clean:", 0);
  size_line(out, "Shared_Dirty:", shared);
  size_line(out, "Private_Clean:", resident - shared - anonymous);
  size_line(out, "Private_Dirty:", anonymous);
  size_line(out, "Referenced:", resident);
  size_line(out, "Anonymous:", anonymous);
  for (const std::string_view name : {"LazyFree:", "AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:", "Shared_Hugetlb:", "Private_Hugetlb:", "Swap:",
                                      "SwapPss:"})
    size_line(out, name, 0);
  size_line(out, "Locked:", locked);
}

void show_flags(const AreaInfo& area, Text& out) {
  out << "VmFlags: ";
  if ((area.prot & kProtRead) != 0) out << "rd ";
  if ((area.prot & kProtWrite) != 0) out << "wr ";
  if ((area.prot & kProtExec) != 0) out << "ex ";
  if (area.shared) out << "sh ";
  out << "mr mw me ";
  if (area.grows_down) out << "gd ";
  if (area.locked) out << "lo ";
  out << "ac \n";
}

bool is_anonymous(const AreaInfo& area) { return !area.file && !area.shared; }

// Bytes [begin, end) of the process's memory, as far as they can be read.
Result<> show_bytes(AddressSpace& mm, std::uint64_t begin, std::uint64_t end, Text& out) {
  if (end <= begin) return {};
  Vec<std::byte> bytes;
  TRY(bytes.try_resize(static_cast<std::size_t>(std::min<std::uint64_t>(end - begin, kMostText))));
  auto read = mm.read_remote(begin, bytes.span());
  if (!read.ok()) return {};
  out << text_of(std::span<const std::byte>(bytes.span()).first(std::move(read).release()));
  return {};
}

// /proc/PID/mem
class MemoryFile final : public OpenFile {
 public:
  MemoryFile(Dentry& where, Inode& inode, std::uint32_t flags, Ref<AddressSpace> mm)
      : OpenFile(RefPtr<Dentry>(&where), RefPtr<Inode>(&inode), flags), mm_(mm) {}
  Result<std::size_t> read(IoSink& sink) override {
    const std::size_t count = TRY(read_at(sink, position_.load(std::memory_order_relaxed)));
    position_.fetch_add(count, std::memory_order_relaxed);
    return count;
  }
  Result<std::size_t> write(IoSource& source) override {
    const std::size_t count = TRY(write_at(source, position_.load(std::memory_order_relaxed)));
    position_.fetch_add(count, std::memory_order_relaxed);
    return count;
  }
  Result<std::size_t> read_at(IoSink& sink, std::uint64_t offset) override {
    std::size_t total = 0;
    const Ref<CachedRoom> room = TRY(make_ref<CachedRoom>());
    while (!sink.full()) {
      const std::span<std::byte> piece = std::span(room->bytes).first(static_cast<std::size_t>(std::min<std::uint64_t>(sink.remaining(), kPageSize)));
      auto got = mm_->read_remote(offset + total, piece, true);
      if (!got.ok()) return total != 0 ? Result<std::size_t>(total) : Result<std::size_t>(Errno::io);
      const std::size_t count = std::move(got).release();
      total += TRY(sink.put(piece.first(count)));
      if (count < piece.size()) break;
    }
    return total;
  }
  Result<std::size_t> write_at(IoSource& source, std::uint64_t offset) override {
    std::size_t total = 0;
    const Ref<CachedRoom> room = TRY(make_ref<CachedRoom>());
    while (!source.empty()) {
      const std::size_t most = static_cast<std::size_t>(std::min<std::uint64_t>(source.remaining(), kPageSize));
      const std::size_t taken = TRY(source.take(std::span(room->bytes).first(most)));
      auto put = mm_->write_remote(offset + total, std::span<const std::byte>(room->bytes).first(taken), true);
      if (!put.ok()) return total != 0 ? Result<std::size_t>(total) : Result<std::size_t>(Errno::io);
      const std::size_t count = std::move(put).release();
      total += count;
      if (count < taken) break;
    }
    return total;
  }
  Result<FileOffset> seek(FileOffset offset, std::uint32_t whence) override {
    if (whence == abi::kSeekEnd || whence > abi::kSeekEnd) return Errno::inval;
    const std::uint64_t base = whence == abi::kSeekCur ? position_.load(std::memory_order_relaxed) : 0;
    // Addresses are unsigned here: a large offset is one.
    std::uint64_t target = 0;
    static_cast<void>(__builtin_add_overflow(base, static_cast<std::uint64_t>(offset), &target));
    position_.store(target, std::memory_order_relaxed);
    return static_cast<FileOffset>(target);
  }
  bool is_stream() const override { return false; }

 private:
  struct CachedRoom final : RefCounted<CachedRoom> {
    CachedRoom() {}  // NOLINT: filled before it is read
    std::array<std::byte, kPageSize> bytes;
  };
  const Ref<AddressSpace> mm_;
  std::atomic<std::uint64_t> position_{0};
};

class MemoryInode final : public PseudoInode {
 public:
  MemoryInode(Ref<Superblock> superblock, std::uint64_t ino, Ref<Process> process)
      : PseudoInode(superblock, ino, mode_of(FileType::regular) | 0600), process_(process) {}
  Result<Ref<OpenFile>> open(Dentry& where, std::uint32_t flags) override {
    const RefPtr<AddressSpace> mm = process_->mm();
    if (!mm) return Errno::srch;
    return Ref<OpenFile>(TRY(make_ref<MemoryFile>(where, *this, flags, mm.as_ref())));
  }

 private:
  const Ref<Process> process_;
};

}  // namespace

Result<> show_maps(const ProcSubject& subject, Text& out) {
  const RefPtr<AddressSpace> mm = subject.process->mm();
  if (!mm) return {};
  for (const AreaInfo& area : TRY(mm->areas())) show_area(area, out);
  return {};
}

Result<> show_smaps(const ProcSubject& subject, Text& out) {
  const RefPtr<AddressSpace> mm = subject.process->mm();
  if (!mm) return {};
  for (const AreaInfo& area : TRY(mm->areas())) {
    show_area(area, out);
    size_line(out, "Size:", area.end - area.begin);
    size_line(out, "KernelPageSize:", kPageSize);
    size_line(out, "MMUPageSize:", kPageSize);
    show_sizes(out, area.resident, area.shared ? area.resident : 0, is_anonymous(area) ? area.resident : 0, area.locked ? area.resident : 0, false);
    out << "THPeligible:           0\n";
    show_flags(area, out);
  }
  return {};
}

Result<> show_smaps_rollup(const ProcSubject& subject, Text& out) {
  const RefPtr<AddressSpace> mm = subject.process->mm();
  if (!mm) return Errno::srch;
  const Vec<AreaInfo> areas = TRY(mm->areas());
  std::uint64_t resident = 0, shared = 0, anonymous = 0, locked = 0, begin = 0, end = 0;
  for (const AreaInfo& area : areas) {
    if (end == 0) begin = area.begin;
    end = area.end;
    resident += area.resident;
    if (area.shared) shared += area.resident;
    if (is_anonymous(area)) anonymous += area.resident;
    if (area.locked) locked += area.resident;
  }
  AreaInfo whole;
  whole.begin = begin;
  whole.end = end;
  whole.label = TRY(MapLabel::make("[rollup]"));
  show_area(whole, out);
  show_sizes(out, resident, shared, anonymous, locked, true);
  return {};
}

Result<> show_cmdline(const ProcSubject& subject, Text& out) {
  const RefPtr<AddressSpace> mm = subject.process->mm();
  if (!mm) return {};
  const ProgramLayout layout = subject.process->layout();
  TRY(show_bytes(*mm, layout.arg_begin, layout.arg_end, out));
  // proc(5): a program that wrote over its arguments (setproctitle) may have gone on into the environment.
  if (out.size() == 0 || out.view().back() == '\0') return {};
  Text rest;
  TRY(show_bytes(*mm, layout.arg_end, layout.env_end, rest));
  out << rest.view().substr(0, rest.view().find('\0')) << '\0';
  return {};
}

Result<> show_environ(const ProcSubject& subject, Text& out) {
  const RefPtr<AddressSpace> mm = subject.process->mm();
  if (!mm) return {};
  const ProgramLayout layout = subject.process->layout();
  return show_bytes(*mm, layout.env_begin, layout.env_end, out);
}

Result<> show_auxv(const ProcSubject& subject, Text& out) {
  const RefPtr<AddressSpace> mm = subject.process->mm();
  if (!mm) return {};
  const ProgramLayout layout = subject.process->layout();
  return show_bytes(*mm, layout.auxv_begin, layout.auxv_end, out);
}

Result<Ref<Inode>> make_memory_inode(Ref<Superblock> superblock, Ref<Process> process, std::uint64_t ino) {
  return Ref<Inode>(TRY(make_ref<MemoryInode>(superblock, ino, process)));
}

}  // namespace kernel::proc
