// Tree: an intrusive balanced search tree (AVL). Insertion cannot fail and does not allocate; nodes do not move. The owner's lock
// protects a tree and all nodes in it.
//
// Traits: static Key key(const T&)  - the order; keys in one tree are distinct and do not change while linked
//         static void update(T& node, const T* left, const T* right)  - recomputes what the node knows about its subtree (may be empty)
#ifndef KERNEL_BASE_TREE_H
#define KERNEL_BASE_TREE_H

#include <cstddef>
#include <cstdint>

#include "kernel/base/config.h"

namespace kernel {

template <class T>
class TreeNode {
 public:
  TreeNode() = default;
  TreeNode(const TreeNode&) = delete;
  TreeNode& operator=(const TreeNode&) = delete;
  ~TreeNode() { KASSERT(height_ == 0); }
  bool is_in_tree() const { return height_ != 0; }

 private:
  template <class U, class Traits>
  friend class Tree;
  T* left_ = nullptr;
  T* right_ = nullptr;
  T* parent_ = nullptr;
  std::int32_t height_ = 0;  // 0 = not linked
};

template <class T, class Traits>
class Tree {
  using Node = TreeNode<T>;

 public:
  Tree() = default;
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  ~Tree() { KASSERT(root_ == nullptr); }

  bool empty() const { return root_ == nullptr; }
  std::size_t size() const { return size_; }
  T* root() const { return root_; }
  static T* left(const T& node) { return as_node(node).left_; }
  static T* right(const T& node) { return as_node(node).right_; }
  T* first() const { return root_ == nullptr ? nullptr : leftmost(root_); }
  T* last() const { return root_ == nullptr ? nullptr : rightmost(root_); }

  static T* next(const T& node) {
    if (as_node(node).right_ != nullptr) return leftmost(as_node(node).right_);
    const T* child = &node;
    T* up = as_node(node).parent_;
    while (up != nullptr && as_node(*up).right_ == child) {
      child = up;
      up = as_node(*up).parent_;
    }
    return up;
  }
  static T* previous(const T& node) {
    if (as_node(node).left_ != nullptr) return rightmost(as_node(node).left_);
    const T* child = &node;
    T* up = as_node(node).parent_;
    while (up != nullptr && as_node(*up).left_ == child) {
      child = up;
      up = as_node(*up).parent_;
    }
    return up;
  }

  // The node with the greatest key <= `key`.
  template <class K>
  T* floor(const K& key) const {
    T* best = nullptr;
    for (T* at = root_; at != nullptr;) {
      if (Traits::key(*at) <= key) {
        best = at;
        at = as_node(*at).right_;
      } else {
        at = as_node(*at).left_;
      }
    }
    return best;
  }
  // The node with the smallest key >= `key`.
  template <class K>
  T* ceiling(const K& key) const {
    T* best = nullptr;
    for (T* at = root_; at != nullptr;) {
      if (Traits::key(*at) >= key) {
        best = at;
        at = as_node(*at).left_;
      } else {
        at = as_node(*at).right_;
      }
    }
    return best;
  }

  void insert(T& node) {
    KASSERT(!as_node(node).is_in_tree());
    T* parent = nullptr;
    bool goes_left = false;
    for (T* at = root_; at != nullptr;) {
      KASSERT(Traits::key(*at) != Traits::key(node));
      parent = at;
      goes_left = Traits::key(node) < Traits::key(*at);
      at = goes_left ? as_node(*at).left_ : as_node(*at).right_;
    }
    as_node(node).parent_ = parent;
    as_node(node).height_ = 1;
    if (parent == nullptr)
      root_ = &node;
    else
      (goes_left ? as_node(*parent).left_ : as_node(*parent).right_) = &node;
    ++size_;
    rebalance(&node);
  }

  void remove(T& node) {
    Node& out = as_node(node);
    KASSERT(out.is_in_tree());
    T* start = nullptr;  // the lowest node whose subtree changed
    if (out.left_ == nullptr || out.right_ == nullptr) {
      start = out.parent_;
      replace_child(node, out.left_ != nullptr ? out.left_ : out.right_);
    } else {
      T* heir = leftmost(out.right_);
      Node& in = as_node(*heir);
      start = in.parent_ == &node ? heir : in.parent_;
      if (in.parent_ != &node) {
        replace_child(*heir, in.right_);
        in.right_ = out.right_;
        as_node(*in.right_).parent_ = heir;
      }
      replace_child(node, heir);
      in.left_ = out.left_;
      as_node(*in.left_).parent_ = heir;
    }
    out.left_ = out.right_ = out.parent_ = nullptr;
    out.height_ = 0;
    --size_;
    rebalance(start);
  }

  // To be called after something that update() looks at has changed in `node`.
  void refresh(T& node) { rebalance(&node); }

 private:
  static Node& as_node(T& node) { return node; }
  static const Node& as_node(const T& node) { return node; }
  static std::int32_t height(const T* node) { return node == nullptr ? 0 : as_node(*node).height_; }
  static T* leftmost(T* at) {
    while (as_node(*at).left_ != nullptr) at = as_node(*at).left_;
    return at;
  }
  static T* rightmost(T* at) {
    while (as_node(*at).right_ != nullptr) at = as_node(*at).right_;
    return at;
  }

  // `with` takes the place of `node` below node's parent.
  void replace_child(T& node, T* with) {
    T* parent = as_node(node).parent_;
    if (parent == nullptr)
      root_ = with;
    else if (as_node(*parent).left_ == &node)
      as_node(*parent).left_ = with;
    else
      as_node(*parent).right_ = with;
    if (with != nullptr) as_node(*with).parent_ = parent;
  }

  static void update(T& node) {
    Node& self = as_node(node);
    const std::int32_t left = height(self.left_);
    const std::int32_t right = height(self.right_);
    self.height_ = (left > right ? left : right) + 1;
    Traits::update(node, self.left_, self.right_);
  }

  // Turns `node`'s left (right) child into the root of this subtree and returns it.
  T* rotate(T& node, bool to_right) {
    Node& old_top = as_node(node);
    T* top = to_right ? old_top.left_ : old_top.right_;
    Node& new_top = as_node(*top);
    replace_child(node, top);
    T*& inner = to_right ? new_top.right_ : new_top.left_;
    (to_right ? old_top.left_ : old_top.right_) = inner;
    if (inner != nullptr) as_node(*inner).parent_ = &node;
    inner = &node;
    old_top.parent_ = top;
    update(node);
    update(*top);
    return top;
  }

  void rebalance(T* at) {
    for (; at != nullptr; at = as_node(*at).parent_) {
      update(*at);
      Node& self = as_node(*at);
      const std::int32_t tilt = height(self.left_) - height(self.right_);
      if (tilt > 1) {
        if (height(as_node(*self.left_).left_) < height(as_node(*self.left_).right_)) rotate(*self.left_, false);
        at = rotate(*at, true);
      } else if (tilt < -1) {
        if (height(as_node(*self.right_).right_) < height(as_node(*self.right_).left_)) rotate(*self.right_, true);
        at = rotate(*at, false);
      }
    }
  }

  T* root_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace kernel
#endif  // KERNEL_BASE_TREE_H
