// Building and reading netlink messages (netlink(7)).
#ifndef KERNEL_NET_NETLINK_MESSAGE_H
#define KERNEL_NET_NETLINK_MESSAGE_H

#include <cstdint>
#include <span>

#include "abi/netlink.h"
#include "kernel/base/result.h"
#include "kernel/base/vec.h"
#include "kernel/frame/bytes.h"

namespace kernel {

// One datagram with messages of one answer.
class NetlinkWriter {
 public:
  NetlinkWriter(std::uint32_t sequence, std::uint32_t pid) : sequence_(sequence), pid_(pid) {}

  template <class T>
  Result<> begin(std::uint16_t type, std::uint16_t flags, const T& body) {
    return begin_bytes(type, flags, std::as_bytes(std::span<const T, 1>(&body, 1)));
  }
  Result<> begin_bytes(std::uint16_t type, std::uint16_t flags, std::span<const std::byte> body) {
    start_ = bytes_.size();
    TRY(append(abi::Nlmsghdr{.length = 0, .type = type, .flags = flags, .sequence = sequence_, .pid = pid_}));
    return append_bytes(body);
  }
  Result<> attribute(std::uint16_t type, std::span<const std::byte> value) {
    TRY(append(abi::Rtattr{.length = static_cast<std::uint16_t>(sizeof(abi::Rtattr) + value.size()), .type = type}));
    return append_bytes(value);
  }
  template <class T>
  Result<> attribute_of(std::uint16_t type, const T& value) {
    return attribute(type, std::as_bytes(std::span<const T, 1>(&value, 1)));
  }
  void end() { store_bytes(bytes_.span(), start_, static_cast<std::uint32_t>(bytes_.size() - start_)); }
  Vec<std::byte> release() { return std::move(bytes_); }
  bool empty() const { return bytes_.empty(); }

 private:
  template <class T>
  Result<> append(const T& value) {
    return append_bytes(std::as_bytes(std::span<const T, 1>(&value, 1)));
  }
  Result<> append_bytes(std::span<const std::byte> value) {
    const std::size_t at = bytes_.size();
    TRY(bytes_.try_resize(static_cast<std::size_t>(abi::nl_align(at + value.size()))));
    copy_bytes(bytes_.span().subspan(at), value);
    return {};
  }

  const std::uint32_t sequence_, pid_;
  std::size_t start_ = 0;
  Vec<std::byte> bytes_;
};

// Answers to the requests of rtnetlink(7) about links, addresses and routes: lo, and what belongs to it. `body` follows the header.
// ENODEV, EINVAL, EOPNOTSUPP.
Result<> answer_route_request(const abi::Nlmsghdr& header, std::span<const std::byte> body, NetlinkWriter& writer);

}  // namespace kernel
#endif  // KERNEL_NET_NETLINK_MESSAGE_H
