#include "kernel/vfs/net_tables.h"

#include <atomic>

namespace kernel {
namespace {
constinit std::atomic<NetTables*> registered{nullptr};  // NOLINT: set once at boot
}  // namespace

void set_net_tables(NetTables& tables) { registered.store(&tables, std::memory_order_release); }
NetTables* net_tables() { return registered.load(std::memory_order_acquire); }

}  // namespace kernel
