// A new union of asm and memcpy( in words only; reinterpret_cast too.
struct Node {
  Node(const Node&) = delete;
  static void* operator new(unsigned long) = delete;
  void operator delete(void*) = delete;
};
const char* text = "volatile asm union new delete memcpy(a, b)";
int renewed = 0, deleted = 1, free_count = 2;
