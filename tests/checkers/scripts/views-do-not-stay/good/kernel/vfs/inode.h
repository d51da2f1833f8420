#ifndef KERNEL_VFS_INODE_H
#define KERNEL_VFS_INODE_H
class Inode : public RefCounted<Inode> {
 public:
  std::string_view name() const { return name_.view(); }
  void fill(std::span<std::byte> into) { std::span<std::byte> rest = into; }

 private:
  String name_;
  // SAFETY: pages from the pool that the destructor gives back.
  std::span<std::byte> stack_;
};
struct Argument {
  std::string_view text;
};
#endif
