// Options of TCP sockets (tcp(7)).
#include <algorithm>
#include <string_view>

#include "kernel/frame/bytes.h"
#include "kernel/net/tcp_socket.h"

namespace kernel {
namespace {

constexpr std::string_view kCongestion = "cubic";
constexpr std::uint32_t kSegment = 65483;  // of lo, after headers with time stamps
constexpr std::uint32_t kMicrosecondsPerRound = 20, kFirstWindow = 10;

}  // namespace

abi::TcpInfo TcpSocket::info() const {
  abi::TcpInfo info{};
  info.state = end_->linux_state();
  if (info.state == abi::kTcpListen) {
    info.unacked = end_->offer_count();
    info.sacked = end_->backlog();
    return info;
  }
  const bool had_connection = static_cast<bool>(peer());
  info.rto = had_connection ? 200'000 : 1'000'000;
  info.ato = 40'000;
  info.snd_mss = had_connection ? kSegment : 536;
  info.rcv_mss = 536;
  info.advmss = had_connection ? kSegment : 536;
  info.pmtu = had_connection ? static_cast<std::uint32_t>(abi::kLoopbackMtu) : 0;
  info.rtt = kMicrosecondsPerRound;
  info.rttvar = kMicrosecondsPerRound / 2;
  info.snd_ssthresh = 0x7fffffff;
  info.snd_cwnd = kFirstWindow;
  info.reordering = 3;
  info.bytes_received = end_->stream().given();
  if (const RefPtr<TcpEnd> other = peer()) {
    info.bytes_sent = other->stream().given();
    info.bytes_acked = info.bytes_sent;
  }
  return info;
}

Result<std::size_t> TcpSocket::get_option(Task& task, std::int32_t level, std::int32_t name, std::span<std::byte> into) {
  if (level != abi::kIpProtoTcp) return InetSocket::get_option(task, level, name, into);
  if (name == abi::kTcpInfo) {
    const abi::TcpInfo all = info();
    const std::size_t count = std::min(into.size(), sizeof(all));
    copy_bytes(into, std::as_bytes(std::span<const abi::TcpInfo, 1>(&all, 1)).first(count));
    return count;
  }
  if (name == abi::kTcpCongestion) {
    std::array<std::byte, 16> text{};
    copy_bytes(text, bytes_of(kCongestion));
    const std::size_t count = std::min(into.size(), text.size());
    copy_bytes(into, std::span(text).first(count));
    return count;
  }
  if (name == abi::kTcpMaxSeg && end_->phase() == TcpEnd::Phase::open)
    return give_option_number(level, static_cast<std::int32_t>(kSegment), into);
  return give_option_number(level, TRY(options().get(level, name)), into);
}

// socket(7): the kernel has doubled the number, for what it needs itself.
void TcpSocket::adopt_buffer_size(std::int32_t name) {
  const bool sends = name == abi::kSoSndBuf || name == abi::kSoSndBufForce;
  if (!sends && name != abi::kSoRcvBuf && name != abi::kSoRcvBufForce) return;
  const auto bytes = static_cast<std::uint32_t>(plain_value(sends ? abi::kSoSndBuf : abi::kSoRcvBuf)) / 2;
  (sends ? end_->asked_send : end_->asked_receive).store(bytes, std::memory_order_relaxed);
  if (const RefPtr<TcpEnd> other = peer()) end_->agree_on_room(*other);
}

Result<> TcpSocket::set_option(Task& task, std::int32_t level, std::int32_t name, std::span<const std::byte> value) {
  if (level == abi::kSolSocket && name == abi::kSoOobInline) {
    TRY(InetSocket::set_option(task, level, name, value));
    end_->urgent_inline.store(plain_value(name) != 0, std::memory_order_relaxed);
    return {};
  }
  if (level != abi::kIpProtoTcp) {
    TRY(InetSocket::set_option(task, level, name, value));
    if (level == abi::kSolSocket) adopt_buffer_size(name);
    return {};
  }
  if (name == abi::kTcpCongestion) {
    const std::string_view text = text_of(value.first(std::min<std::size_t>(value.size(), 15)));
    if (text.empty()) return Errno::inval;
    return text.substr(0, text.find('\0')) == kCongestion ? Result<>() : Result<>(Errno::noent);
  }
  return options().set(level, name, TRY(option_number(level, value)));
}

}  // namespace kernel
