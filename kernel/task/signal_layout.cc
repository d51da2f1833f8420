// Where things lie on a signal stack: arithmetic only.
#include "kernel/base/checked.h"
#include "kernel/task/signal_frame.h"

namespace kernel {

std::uint64_t state_image_size(std::uint64_t state_size) { return state_size + abi::kFpXstateMagic2Size; }

bool on_altstack(const abi::StackT& altstack, std::uint64_t sp) {
  if ((static_cast<std::uint32_t>(altstack.flags) & abi::kSsAutoDisarm) != 0) return false;
  return altstack.size != 0 && sp > altstack.sp && sp - altstack.sp <= altstack.size;
}

std::int32_t altstack_flags(const abi::StackT& altstack, std::uint64_t sp) {
  if (altstack.size == 0) return abi::kSsDisable;
  return on_altstack(altstack, sp) ? abi::kSsOnStack : 0;
}

std::uint64_t max_frame_size(std::uint64_t state_size) {
  // Frame, image, alignment of both (64 + 16), the return address slot; Linux rounds in the same way.
  return round_up(sizeof(abi::RtSigFrame) + state_image_size(state_size) + 64 + 16, 16);
}

std::optional<FramePlacement> place_frame(std::uint64_t sp, std::uint64_t state_size) {
  const std::uint64_t image = state_image_size(state_size);
  if (sp < image + sizeof(abi::RtSigFrame) + 256) return std::nullopt;
  const std::uint64_t state = round_down(sp - image, 64);
  const std::uint64_t frame = round_down(state - sizeof(abi::RtSigFrame), 16) - 8;
  return FramePlacement{.frame = frame, .state = state};
}

}  // namespace kernel
