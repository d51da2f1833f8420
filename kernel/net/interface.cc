#include "kernel/net/interface.h"

#include <algorithm>
#include <string_view>

#include "abi/inet.h"
#include "abi/socket.h"
#include "kernel/frame/bytes.h"
#include "kernel/frame/user.h"
#include "kernel/task/task.h"

namespace kernel {
namespace {

constexpr std::string_view kName = "lo";

abi::Ifreq loopback_request() {
  abi::Ifreq request{};
  std::ranges::copy(kName, request.name.begin());
  return request;
}

void put_address(abi::Ifreq& request, std::array<std::uint8_t, 4> address) {
  store_bytes(request.data, 0, abi::SockaddrIn{.family = abi::kAfInet, .port = {}, .address = address, .zero = {}});
}

// netdevice(7), SIOCGIFCONF: with no buffer the length that is needed.
Result<> give_list(std::uint64_t argument) {
  const UserPtr<abi::Ifconf> user(argument);
  abi::Ifconf list = TRY(user.load());
  if (list.buffer != 0) {
    if (list.length < 0) return Errno::inval;
    if (static_cast<std::size_t>(list.length) >= sizeof(abi::Ifreq)) {
      abi::Ifreq lo = loopback_request();
      put_address(lo, {127, 0, 0, 1});
      TRY(UserPtr<abi::Ifreq>(list.buffer).store(lo));
      list.length = sizeof(abi::Ifreq);
    } else {
      list.length = 0;
    }
  } else {
    list.length = sizeof(abi::Ifreq);
  }
  return user.store(list);
}

Result<> give_name(std::uint64_t argument) {
  const UserPtr<abi::Ifreq> user(argument);
  const abi::Ifreq asked = TRY(user.load());
  if (load_bytes<std::int32_t>(asked.data) != abi::kLoopbackIndex) return Errno::nodev;
  abi::Ifreq answer = loopback_request();
  answer.data = asked.data;
  return user.store(answer);
}

Result<> fill(std::uint32_t request, abi::Ifreq& answer) {
  switch (request) {
    case abi::kSiocGifFlags: store_bytes<std::int16_t>(answer.data, 0, abi::kIffUp | abi::kIffLoopback | abi::kIffRunning); return {};
    case abi::kSiocGifAddr:
    case abi::kSiocGifDstAddr: put_address(answer, {127, 0, 0, 1}); return {};
    case abi::kSiocGifBrdAddr: put_address(answer, {0, 0, 0, 0}); return {};
    case abi::kSiocGifNetmask: put_address(answer, {255, 0, 0, 0}); return {};
    case abi::kSiocGifMetric: store_bytes<std::int32_t>(answer.data, 0, 0); return {};
    case abi::kSiocGifMtu: store_bytes<std::int32_t>(answer.data, 0, abi::kLoopbackMtu); return {};
    case abi::kSiocGifTxQLen: store_bytes<std::int32_t>(answer.data, 0, 1000); return {};
    case abi::kSiocGifIndex: store_bytes<std::int32_t>(answer.data, 0, abi::kLoopbackIndex); return {};
    case abi::kSiocGifHwAddr:
      std::ranges::fill(std::span(answer.data).first<14>(), std::byte{0});
      store_bytes<std::uint16_t>(answer.data, 0, abi::kArphrdLoopback);
      return {};
    default: return Errno::notty;
  }
}

}  // namespace

Result<> interface_ioctl(Task& task, std::uint32_t request, std::uint64_t argument) {
  switch (request) {
    case abi::kSiocGifConf: return give_list(argument);
    case abi::kSiocGifName: return give_name(argument);
    case abi::kSiocSifFlags:
    case abi::kSiocSifAddr:
    case abi::kSiocSifNetmask:
    case abi::kSiocSifMtu: {
      const Ref<const Credentials> who = task.credentials_ref();
      return who->has(Capability::net_admin) ? Errno::opnotsupp : Errno::perm;
    }
    default: break;
  }
  abi::Ifreq probe{};
  TRY(fill(request, probe));
  const UserPtr<abi::Ifreq> user(argument);
  abi::Ifreq asked = TRY(user.load());
  const std::string_view name(asked.name.data(), asked.name.size() - 1);
  if (name.substr(0, name.find('\0')) != kName) return Errno::nodev;
  TRY(fill(request, asked));
  return user.store(asked);
}

}  // namespace kernel
