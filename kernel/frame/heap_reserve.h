// The last part of the kernel heap, which is kept for switching to a process that has been killed because memory is short: so it can end.
#ifndef KERNEL_FRAME_HEAP_RESERVE_H
#define KERNEL_FRAME_HEAP_RESERVE_H

namespace kernel::frame {

// While one exists, allocations may take the reserve too.
class HeapReserve {
 public:
  HeapReserve();
  ~HeapReserve();
  HeapReserve(const HeapReserve&) = delete;
  HeapReserve& operator=(const HeapReserve&) = delete;
};

}  // namespace kernel::frame
#endif  // KERNEL_FRAME_HEAP_RESERVE_H
