#include "tests/host/payload.h"

#include <cstdlib>
#include <cstring>

#include "emulator/emulator.h"
#include "sgx/measure.h"

extern "C" {
extern const std::uint8_t payload_code_start[];
extern const std::uint8_t payload_code_end[];
}

namespace payload {

std::uint64_t& Script::cell(std::uint64_t value) {
  cells_.push_back(std::make_unique<std::uint64_t>(value));
  return *cells_.back();
}

Script& Script::append(std::uint64_t op, std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  if (commands_.size() == commands_.capacity()) std::abort();
  commands_.push_back({op, a, b, c});
  return *this;
}

Script& Script::exit(host_abi::ExitCode code, std::uint64_t b, std::uint64_t c) {
  return append(1, static_cast<std::uint64_t>(code), b, c);
}
Script& Script::store(std::uint64_t address, std::uint64_t value, std::uint64_t* status) {
  return append(2, address, value, reinterpret_cast<std::uintptr_t>(status));
}
Script& Script::wait_equal(const std::uint64_t& word, std::uint64_t value) { return append(3, at(word), value); }
Script& Script::accept(std::uint64_t page, std::uint64_t flags, std::uint64_t& result) {
  return append(4, page, flags, at(result));
}
Script& Script::extend(std::uint64_t page, std::uint64_t flags, std::uint64_t& result) {
  return append(5, page, flags, at(result));
}
Script& Script::load(std::uint64_t address, std::uint64_t& result) { return append(6, address, at(result)); }
Script& Script::add(std::uint64_t& word, std::uint64_t value) { return append(7, at(word), value); }
Script& Script::undefined() { return append(8); }
Script& Script::spin(std::uint64_t rounds) { return append(10, rounds); }
Script& Script::breakpoint() { return append(11); }
Script& Script::get(std::uint64_t& to, Field field) { return append(12, at(to), field); }
Script& Script::move(std::uint64_t& to, const std::uint64_t& from) { return append(13, at(to), at(from)); }
Script& Script::store32(std::uint32_t& word, std::uint32_t value) { return append(14, at(word), value); }
Script& Script::wait_differ(const std::uint64_t& word, std::uint64_t value) { return append(15, at(word), value); }
Script& Script::set(Field field, std::uint64_t value) { return append(16, value, field); }
Script& Script::accept_copy(std::uint64_t page, std::uint64_t from, std::uint64_t& result) {
  return append(17, page, from, at(result));
}
Script& Script::run_code(std::uint64_t address, std::uint64_t& status) { return append(18, address, at(status)); }

Script& Script::repeat(std::size_t from, std::uint64_t times) {
  return append(9, reinterpret_cast<std::uintptr_t>(commands_.data() + from), at(cell(times)));
}
Script& Script::forever(std::size_t from) { return append(9, reinterpret_cast<std::uintptr_t>(commands_.data() + from)); }

Script& Script::call(host_abi::CallSlot& slot, const host_abi::CallSlot& request, std::uint64_t& result) {
  std::uint64_t words[sizeof(request) / 8];
  std::memcpy(words, &request, sizeof(request));
  // Everything but the answer: result and token_done are the last two words.
  for (std::size_t i = 0; i < std::size(words) - 2; ++i) store(at(slot) + i * 8, words[i]);
  exit(host_abi::ExitCode::host_call);
  return append(13, at(result), at(slot.result));
}

Script& Script::idle(host_abi::VcpuBlock& block, std::uint64_t deadline) {
  store32(block.state, host_abi::kVcpuIdle);
  return exit(host_abi::ExitCode::idle, deadline);
}

Enclave::Enclave(std::vector<const Script*> scripts, std::vector<host_abi::VcpuBlock*> blocks) : vcpus_(scripts.size()) {
  Page& code = new_page();
  std::memcpy(code.bytes.data(), payload_code_start, static_cast<std::size_t>(payload_code_end - payload_code_start));
  add(kCode, sgx::kSecinfoRegRx, true, 1, &code);
  for (std::uint32_t i = 0; i < vcpus_; ++i) {
    sgx::Tcs image = {};
    image.ossa = tcs(i) + 0x1000;
    image.nssa = 3;
    image.oentry = kCode;
    image.ofsbase = block(i);
    image.ogsbase = block(i);
    image.fs_limit = 0xfff;
    image.gs_limit = 0xfff;
    Page& control = new_page();
    std::memcpy(control.bytes.data(), &image, sizeof(image));
    add(tcs(i), sgx::kSecinfoTcs, true, 1, &control);
    add(tcs(i) + 0x1000, sgx::kSecinfoRegRw, true, 3, nullptr);

    Page& words = new_page();
    const auto put = [&words](std::size_t offset, std::uint64_t value) {
      std::memcpy(words.bytes.data() + offset, &value, sizeof(value));
    };
    put(0x00, reinterpret_cast<std::uintptr_t>(scripts[i]->first()));
    put(0x10, image.ossa + sgx::ssa_gpr_offset(sgx::kPageSize));
    put(0x18, reinterpret_cast<std::uintptr_t>(blocks[i]));
    put(0x78, block(i) + 0x80);
    add(block(i), sgx::kSecinfoRegRw, false, 1, &words);
  }
  add(kData, sgx::kSecinfoRegRw, false, kDataPages, nullptr);
  add(kReadOnly, sgx::kSecinfoRegR, true, 1, nullptr);

  secs_.size = kSize;
  secs_.ssa_frame_pages = 1;
  secs_.miscselect = sgx::kMiscExinfo;
  secs_.attributes = {sgx::kAttrMode64 | sgx::kAttrDebug, sgx::kXfrmLegacy | (emulator::supported_xfrm() & sgx::kXfrmAvx)};

  sgx::Measurement measurement(1, kSize);
  static constexpr std::array<std::uint8_t, 4096> kZeros{};
  for (const host::PageBatch& batch : batches_) {
    for (std::uint64_t at = 0; at < batch.length; at += 4096) {
      const auto* bytes = batch.source == nullptr ? kZeros.data() : static_cast<const std::uint8_t*>(batch.source) + at;
      if (batch.measure) {
        measurement.add_measured_page(batch.offset + at, batch.secinfo_flags, std::span<const std::uint8_t, 4096>(bytes, 4096));
      } else {
        measurement.eadd(batch.offset + at, batch.secinfo_flags);
      }
    }
  }
  sgx::SigstructFields fields;
  fields.attributes = secs_.attributes;
  fields.enclave_hash = measurement.finish().value();
  sigstruct_ = sgx::sign_sigstruct(fields, signing_key()).value();
}

Enclave::Page& Enclave::new_page() {
  memory_.push_back(std::make_unique<Page[]>(1));
  return memory_.back()[0];
}

void Enclave::add(std::uint64_t offset, std::uint64_t flags, bool measure, std::uint64_t pages, const void* source) {
  batches_.push_back(
      {.offset = offset, .length = pages * 4096, .source = source, .secinfo_flags = flags, .measure = measure});
}

std::vector<std::uint64_t> Enclave::tcs_addresses() const {
  std::vector<std::uint64_t> out;
  for (std::uint32_t i = 0; i < vcpus_; ++i) out.push_back(tcs(i));
  return out;
}

host::Status Enclave::load(host::EnclaveDevice& device) const {
  if (auto status = device.create(secs_); !status) return status;
  for (const host::PageBatch& batch : batches_) {
    if (auto status = device.add_pages(batch); !status) return status;
  }
  return device.init(sigstruct_);
}

const sgx::SigningKey& signing_key() {
  static const sgx::SigningKey key = sgx::SigningKey::generate().value();
  return key;
}

void use_test_device() {
  sgx::Device device = {};
  device.root_key.fill(0x11);
  device.owner_epoch.fill(0x22);
  emulator::set_device(device);
}

}  // namespace payload
