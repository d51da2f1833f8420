// Intrusive doubly linked list: insertion cannot fail and does not allocate. A node knows whether it is linked and asserts that it
// is not when it dies. The owner's lock protects a list and all nodes in it.
#ifndef KERNEL_BASE_LIST_H
#define KERNEL_BASE_LIST_H

#include <cstddef>

#include "kernel/base/config.h"

namespace kernel {

template <class Tag>
class ListNode {
 public:
  constexpr ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  constexpr ~ListNode() { KASSERT(!is_linked()); }
  constexpr bool is_linked() const { return next_ != nullptr; }
  // Takes the node out of whichever list holds it.
  void unlink() {
    KASSERT(is_linked());
    prev_->next_ = next_;
    next_->prev_ = prev_;
    next_ = nullptr;
    prev_ = nullptr;
  }

 private:
  template <class T, class U>
  friend class List;
  ListNode* next_ = nullptr;
  ListNode* prev_ = nullptr;
};

// List of T, where T derives from ListNode<Tag>.
template <class T, class Tag>
class List {
 public:
  constexpr List() { head_.next_ = head_.prev_ = &head_; }
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  constexpr ~List() {
    KASSERT(empty());
    head_.next_ = head_.prev_ = nullptr;
  }

  constexpr bool empty() const { return head_.next_ == &head_; }
  T* front() { return empty() ? nullptr : static_cast<T*>(head_.next_); }
  T* back() { return empty() ? nullptr : static_cast<T*>(head_.prev_); }
  T* next(T& node) {
    Node* after = static_cast<Node&>(node).next_;
    return after == &head_ ? nullptr : static_cast<T*>(after);
  }
  void push_back(T& node) { insert(*head_.prev_, node); }
  void push_front(T& node) { insert(head_, node); }
  void insert_before(T& position, T& node) { insert(*static_cast<Node&>(position).prev_, node); }
  T* pop_front() {
    T* first = front();
    if (first != nullptr) static_cast<Node*>(first)->unlink();
    return first;
  }
  static void remove(T& node) { static_cast<Node&>(node).unlink(); }

 private:
  using Node = ListNode<Tag>;
  void insert(Node& before, Node& node) {
    KASSERT(!node.is_linked());
    node.prev_ = &before;
    node.next_ = before.next_;
    before.next_->prev_ = &node;
    before.next_ = &node;
  }
  Node head_;
};

}  // namespace kernel
#endif  // KERNEL_BASE_LIST_H
