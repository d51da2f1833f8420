#include "kernel/task/signal.h"

#include <bit>
#include <utility>


namespace kernel {

DefaultAction default_action(int signo) {
  switch (signo) {
    case abi::kSigChld:
    case abi::kSigUrg:
    case abi::kSigWinch:
      return DefaultAction::ignore;
    case abi::kSigCont:
      return DefaultAction::resume;
    case abi::kSigStop:
    case abi::kSigTstp:
    case abi::kSigTtin:
    case abi::kSigTtou:
      return DefaultAction::stop;
    case abi::kSigQuit:
    case abi::kSigIll:
    case abi::kSigTrap:
    case abi::kSigAbrt:
    case abi::kSigBus:
    case abi::kSigFpe:
    case abi::kSigSegv:
    case abi::kSigXcpu:
    case abi::kSigXfsz:
    case abi::kSigSys:
      return DefaultAction::core;
    default:
      return DefaultAction::terminate;
  }
}

// --- SignalHandlers ---

namespace {
constexpr std::size_t slot_of(int signo) { return static_cast<std::size_t>(signo - 1); }
}  // namespace

bool is_ignored(const abi::SigAction& action, int signo) {
  if (action.handler == abi::kSigIgn) return true;
  if (action.handler != abi::kSigDfl) return false;
  const DefaultAction fallback = default_action(signo);
  return fallback == DefaultAction::ignore || fallback == DefaultAction::resume;
}

abi::SigAction SignalHandlers::get(int signo) const {
  const LockGuard guard(lock_);
  return actions_[slot_of(signo)];
}

abi::SigAction SignalHandlers::exchange(int signo, const abi::SigAction& action) {
  const LockGuard guard(lock_);
  return std::exchange(actions_[slot_of(signo)], action);
}

abi::SigAction SignalHandlers::take_for_delivery(int signo) {
  const LockGuard guard(lock_);
  abi::SigAction& action = actions_[slot_of(signo)];
  const abi::SigAction taken = action;
  if (taken.handler > abi::kSigIgn && (taken.flags & abi::kSaResetHand) != 0) action.handler = abi::kSigDfl;
  return taken;
}

bool SignalHandlers::ignores(int signo) const {
  const LockGuard guard(lock_);
  return is_ignored(actions_[slot_of(signo)], signo);
}

// SAFETY: only this function knows the new table, so that its lock is not needed.
Result<Ref<SignalHandlers>> SignalHandlers::copy(bool reset) const NO_THREAD_SAFETY_ANALYSIS {
  Ref<SignalHandlers> fresh = TRY(make_ref<SignalHandlers>());
  const LockGuard guard(lock_);
  fresh->actions_ = actions_;
  if (!reset) return fresh;
  for (abi::SigAction& action : fresh->actions_)
    action = {.handler = action.handler == abi::kSigIgn ? abi::kSigIgn : abi::kSigDfl, .flags = 0, .restorer = 0, .mask = 0};
  return fresh;
}

SignalSet SignalHandlers::caught() const {
  const LockGuard guard(lock_);
  SignalSet set = 0;
  for (int signo = 1; signo <= abi::kSigMax; ++signo)
    if (actions_[slot_of(signo)].handler > abi::kSigIgn) set |= signal_bit(signo);
  return set;
}

SignalSet SignalHandlers::ignored() const {
  const LockGuard guard(lock_);
  SignalSet set = 0;
  for (int signo = 1; signo <= abi::kSigMax; ++signo)
    if (actions_[slot_of(signo)].handler == abi::kSigIgn) set |= signal_bit(signo);
  return set;
}

// --- PendingSignals ---

bool PendingSignals::add(const abi::SigInfo& info, Own<QueuedSignal>& node) {
  const SignalSet bit = signal_bit(info.signo);
  const bool was_pending = (set() & bit) != 0;
  const bool is_timer = info.code == abi::kSiTimer && (node || !spare_used_) && queued_ < kMostTimers;
  if (was_pending && info.signo < abi::kSigRtMin && !is_timer) return false;
  if (node) {
    node->info = info;
    queue_.push_back(*node);
    ++queued_;
    (void)node.leak();  // the queue owns it until take() or remove()
  } else if (!spare_used_ && info.signo < abi::kSigRtMin) {
    spare_used_ = true;
    spare_.info = info;
    queue_.push_back(spare_);
    ++queued_;
  }
  set_.fetch_or(bit, std::memory_order_acq_rel);
  return true;
}

void PendingSignals::unqueue(QueuedSignal& node) {
  decltype(queue_)::remove(node);
  --queued_;
  if (&node == &spare_)
    spare_used_ = false;
  else
    const auto owned = Own<QueuedSignal>::adopt(&node, {.size = sizeof(QueuedSignal), .align = alignof(QueuedSignal)});
}

std::optional<abi::SigInfo> PendingSignals::take(SignalSet from) {
  SignalSet candidates = set() & from;
  if (candidates == 0) return std::nullopt;
  if ((candidates & kSynchronous) != 0) candidates &= kSynchronous;
  const int signo = std::countr_zero(candidates) + 1;
  std::optional<abi::SigInfo> result;
  bool more = false;
  QueuedSignal* next = nullptr;
  for (QueuedSignal* node = queue_.front(); node != nullptr; node = next) {
    next = queue_.next(*node);
    if (node->info.signo != signo) continue;
    if (result) {
      more = true;
      break;
    }
    result = node->info;
    unqueue(*node);
  }
  if (!more) set_.fetch_and(~signal_bit(signo), std::memory_order_acq_rel);
  if (!result) result = abi::SigInfo::from_sender(signo, abi::kSiUser, 0, 0);  // it was queued when memory was short
  return result;
}

bool PendingSignals::has_timer(std::int32_t id) const {
  for (QueuedSignal* node = queue_.front(); node != nullptr; node = queue_.next(*node))
    if (node->info.code == abi::kSiTimer && node->info.pid() == id) return true;
  return false;
}

void PendingSignals::remove_timer(std::optional<std::int32_t> id) {
  SignalSet left = 0, gone = 0;
  QueuedSignal* next = nullptr;
  for (QueuedSignal* node = queue_.front(); node != nullptr; node = next) {
    next = queue_.next(*node);
    const SignalSet bit = signal_bit(node->info.signo);
    const bool is_its = node->info.code == abi::kSiTimer && (!id || node->info.pid() == *id);
    (is_its ? gone : left) |= bit;
    if (is_its) unqueue(*node);
  }
  set_.fetch_and(~(gone & ~left), std::memory_order_acq_rel);
}

std::optional<abi::SigInfo> PendingSignals::peek(std::uint64_t index) {
  QueuedSignal* node = queue_.front();
  while (node != nullptr && index-- != 0) node = queue_.next(*node);
  return node != nullptr ? std::optional<abi::SigInfo>(node->info) : std::nullopt;
}

void PendingSignals::remove(SignalSet which) {
  if ((set() & which) == 0) return;
  set_.fetch_and(~which, std::memory_order_acq_rel);
  QueuedSignal* next = nullptr;
  for (QueuedSignal* node = queue_.front(); node != nullptr; node = next) {
    next = queue_.next(*node);
    if ((signal_bit(node->info.signo) & which) == 0) continue;
    unqueue(*node);
  }
}

}  // namespace kernel
