// The scope in which crypto code may use vector registers. The running thread's own vector state is saved first and loaded again
// before its program goes on; no wait and no exit to the host inside (an exit clears vector registers).
#ifndef KERNEL_FRAME_VECTOR_H
#define KERNEL_FRAME_VECTOR_H

namespace kernel::frame {

class VectorScope {
 public:
  VectorScope();
  ~VectorScope();  // clears what crypto left in registers
  VectorScope(const VectorScope&) = delete;
  VectorScope& operator=(const VectorScope&) = delete;
};

}  // namespace kernel::frame
#endif  // KERNEL_FRAME_VECTOR_H
