#include "kernel/net/datagram_queue.h"

namespace kernel {

bool DatagramQueue::push(const Ref<Datagram>& datagram, std::size_t most) {
  const LockGuard guard(lock_);
  const std::size_t size = datagram->data.size() + kOverhead;
  const std::size_t waiting = bytes_.load(std::memory_order_relaxed);
  if (waiting != 0 && waiting + size > most) return false;
  bytes_.store(waiting + size, std::memory_order_relaxed);
  datagram->ref();  // the list's
  list_.push_back(*datagram);
  count_.fetch_add(1, std::memory_order_release);
  return true;
}

RefPtr<Datagram> DatagramQueue::take(bool peek) {
  const LockGuard guard(lock_);
  RefPtr<Datagram> first(list_.front());
  if (!first || peek) return first;
  first->unlink();
  first->deref();  // the list's
  bytes_.fetch_sub(first->data.size() + kOverhead, std::memory_order_relaxed);
  count_.fetch_sub(1, std::memory_order_release);
  return first;
}

std::size_t DatagramQueue::next_size() const {
  const LockGuard guard(lock_);
  const RefPtr<const Datagram> first(list_.front());
  return first ? first->data.size() : 0;
}

void DatagramQueue::clear() {
  while (take(false)) {
  }
}

}  // namespace kernel
