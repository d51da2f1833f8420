#ifndef KERNEL_VFS_INODE_H
#define KERNEL_VFS_INODE_H
class Inode : public RefCounted<Inode> {
 public:
  std::string_view name() const { return name_; }

 private:
  std::string_view name_;
};
class File final : public Inode {
  void fill(std::span<std::byte> into);
  const std::span<const std::byte> content_ = {};
};
#endif
