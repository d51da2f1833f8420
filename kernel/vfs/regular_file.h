// Open files of regular files and directories, and how an inode's open file is chosen.
#ifndef KERNEL_VFS_REGULAR_FILE_H
#define KERNEL_VFS_REGULAR_FILE_H

#include <atomic>
#include <cstdint>

#include "kernel/vfs/open_file.h"

namespace kernel {

// Reads and writes its inode at a position of its own.
class RegularFile : public OpenFile {
 public:
  RegularFile(Dentry& where, Inode& inode, std::uint32_t flags) : OpenFile(RefPtr<Dentry>(&where), RefPtr<Inode>(&inode), flags) {}
  RegularFile(Inode& inode, std::uint32_t flags) : OpenFile(nullptr, RefPtr<Inode>(&inode), flags) {}  // without a name (memfd)
  ~RegularFile() override;
  // Once after making: counts it as a writer of the inode if it is one (ETXTBSY).
  Result<> start();

  Result<std::size_t> read(IoSink& sink) override;
  Result<std::size_t> write(IoSource& source) override;
  Result<std::size_t> read_at(IoSink& sink, std::uint64_t offset) override;
  Result<std::size_t> write_at(IoSource& source, std::uint64_t offset) override;
  Result<FileOffset> seek(FileOffset offset, std::uint32_t whence) override;
  Result<std::uint64_t> ioctl(Task& task, std::uint32_t request, std::uint64_t argument) override;
  Result<> sync(bool data_only) override { return inode()->sync(data_only); }
  Result<> truncate(std::uint64_t size) override { return inode()->truncate(size); }
  Result<> allocate(std::uint32_t mode, std::uint64_t offset, std::uint64_t length) override;
  Result<Ref<FileBacking>> mapping() override;
  Result<std::uint32_t> seals(bool add, std::uint32_t which) override {
    if (add && !may_write()) return Errno::perm;
    return inode()->seals(add, which);
  }
  bool is_stream() const override { return false; }

 private:
  Result<> sync_if_asked();

  PositionLock position_lock_;
  std::atomic<std::uint64_t> position_{0};
  bool counted_writer_ = false;
};

// Lists a directory.
class DirectoryFile final : public OpenFile {
 public:
  DirectoryFile(Dentry& where, Inode& inode, std::uint32_t flags) : OpenFile(RefPtr<Dentry>(&where), RefPtr<Inode>(&inode), flags) {}
  Result<std::size_t> read(IoSink&) override { return Errno::isdir; }
  Result<std::size_t> read_at(IoSink&, std::uint64_t) override { return Errno::isdir; }
  Result<FileOffset> seek(FileOffset offset, std::uint32_t whence) override;
  Result<> sync(bool data_only) override { return inode()->sync(data_only); }
  Result<> read_directory(DirectorySink& sink) override;

 private:
  PositionLock position_lock_;
  std::atomic<std::uint64_t> position_{0};
};

// O_PATH: a place, no I/O.
class PathFile final : public OpenFile {
 public:
  PathFile(Dentry& where, Inode& inode, std::uint32_t flags) : OpenFile(RefPtr<Dentry>(&where), RefPtr<Inode>(&inode), flags) {}
};

// What Inode::open does unless overridden. ENXIO for sockets and for devices that nobody registered.
Result<Ref<OpenFile>> open_ordinary(Dentry& where, Inode& inode, std::uint32_t flags);

// The offset that lseek(2) asks for, from the current position and the size; SEEK_DATA and SEEK_HOLE through the inode. EINVAL, ENXIO.
Result<std::uint64_t> seek_target(Inode& inode, std::uint64_t position, FileOffset offset, std::uint32_t whence);

}  // namespace kernel
#endif  // KERNEL_VFS_REGULAR_FILE_H
