// HardwareDevice on the driver's model: the right sequences run an enclave, and every failure of the driver is reported.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <thread>

#include "host/calls.h"
#include "host/clock.h"
#include "host/futex.h"
#include "host/hardware_device.h"
#include "host/vcpu.h"
#include "tests/driver_model/driver_model.h"
#include "tests/host/payload.h"

namespace {

using host_abi::ExitCode;
using host_abi::Op;
using payload::Script;

class HardwareTest : public testing::Test {
 protected:
  void SetUp() override { payload::use_test_device(); }

  // Opens the device on a machine with these properties.
  host::Result<std::unique_ptr<host::HardwareDevice>> open(model::Options options = {}) {
    auto calls = std::make_unique<model::DriverModel>(std::move(options));
    model_ = calls.get();
    return host::HardwareDevice::open(std::move(calls));
  }
  // Opens, creates and adds all pages of the payload, but does not initialise.
  host::Status build(model::Options options = {}) {
    device_ = open(std::move(options)).value();
    if (auto status = device_->create(enclave().secs()); !status) return status;
    for (const host::PageBatch& batch : enclave().batches()) {
      if (auto status = device_->add_pages(batch); !status) return status;
    }
    return {};
  }
  host::Status load(model::Options options = {}) {
    if (auto status = build(std::move(options)); !status) return status;
    return device_->init(enclave().sigstruct());
  }
  const payload::Enclave& enclave() {
    if (!enclave_) enclave_ = std::make_unique<payload::Enclave>(std::vector<const Script*>{&script_}, blocks());
    return *enclave_;
  }
  std::vector<host_abi::VcpuBlock*> blocks() { return {&memory_.vcpu(0)}; }
  host_abi::VcpuBlock& block() { return memory_.vcpu(0); }

  // Runs the script on the loaded device.
  // Until the enclave shuts down, or `*cell` has become `value` (half a minute at most).
  host::Outcome run(std::uint64_t* cell = nullptr, std::uint64_t value = 0) {
    clock_.publish_to(memory_.clock());
    host::VcpuSet vcpus({*device_, memory_, clock_, enclave().tcs_addresses(), nullptr, {}});
    host::HostCalls calls({*device_, handles_, clock_, vcpus, memory_.arena(), [](std::uint64_t, std::string_view) {}});
    vcpus.set_calls(calls);
    const host::Status started = vcpus.start();
    EXPECT_TRUE(started) << started.error().message;
    if (!started) return {};
    host::Outcome outcome;
    if (cell != nullptr) {
      const std::uint64_t limit = host::monotonic_now() + 30'000'000'000;
      while (host::shared(*cell).load() != value && host::monotonic_now() < limit) std::this_thread::yield();
    } else {
      outcome = vcpus.wait();
    }
    EXPECT_TRUE(vcpus.stop());
    counters_ = vcpus.counters();
    return outcome;
  }
  std::uint64_t& call(Op op, std::uint64_t a0, std::uint64_t a1, std::uint64_t a2 = 0) {
    host_abi::CallSlot slot = {};
    slot.op = static_cast<std::uint32_t>(op);
    slot.args[0] = a0;
    slot.args[1] = a1;
    slot.args[2] = a2;
    std::uint64_t& result = script_.cell();
    script_.call(block().call, slot, result);
    return result;
  }

  host::SharedMemory memory_ = host::SharedMemory::create(1, 1, 0, {}).value();
  Script script_;
  host::ClockSource clock_;
  host::HandleTable handles_;
  std::unique_ptr<payload::Enclave> enclave_;
  std::unique_ptr<host::HardwareDevice> device_;
  model::DriverModel* model_ = nullptr;  // owned by device_
  host::VcpuCounters counters_;
};

// ---- Opening.

TEST_F(HardwareTest, AMachineWithoutTheDeviceSaysSoInOneLine) {
  const auto device = open({.has_device = false});
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code, ENOENT);
  EXPECT_NE(device.error().message.find("/dev/sgx_enclave"), std::string::npos);
  EXPECT_EQ(device.error().message.find('\n'), std::string::npos);
}

TEST_F(HardwareTest, AUserWithoutTheRightIsToldAboutTheGroup) {
  const auto device = open({.may_open = false});
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code, EACCES);
  EXPECT_NE(device.error().message.find("group sgx"), std::string::npos);
}

TEST_F(HardwareTest, AKernelWithoutTheVdsoEntryIsRefused) {
  const auto device = open({.has_vdso_entry = false});
  ASSERT_FALSE(device);
  EXPECT_NE(device.error().message.find("__vdso_sgx_enter_enclave"), std::string::npos);
}

TEST_F(HardwareTest, EdmmIsFoundWithoutAnEnclave) {
  EXPECT_TRUE(open().value()->has_edmm());
  EXPECT_FALSE(open({.has_sgx2 = false}).value()->has_edmm());
  EXPECT_FALSE(open({.knows_edmm = false}).value()->has_edmm());
  EXPECT_EQ(open({.xfrm = 0x207}).value()->supported_xfrm(), 0x207U);
  EXPECT_EQ(open().value()->name(), "SGX hardware");
}

TEST_F(HardwareTest, TheDeviceFileIsClosedAndTheRangeUnmapped) {
  ASSERT_TRUE(load());
  EXPECT_TRUE(model_->is_open());
  EXPECT_EQ(model_->protection_at(payload::kCode), PROT_READ | PROT_EXEC);
  EXPECT_EQ(device_->counters().pages_added, model_->pages());
}

// ---- The right sequence.

TEST_F(HardwareTest, TheRightSequenceRunsAnEnclave) {
  std::uint64_t& faults = script_.cell();
  std::uint64_t& stored = script_.cell();
  script_.undefined().breakpoint();
  script_.store(payload::kReadOnly, 1, &stored);
  script_.get(faults, payload::faults).exit(ExitCode::shutdown, 21);
  const host::Status loaded = load();
  ASSERT_TRUE(loaded) << loaded.error().message;
  const host::Outcome outcome = run();
  EXPECT_EQ(outcome.kind, host::Outcome::Kind::shutdown) << outcome.message;
  EXPECT_EQ(outcome.status, 21);
  EXPECT_EQ(faults, 3U);
  EXPECT_EQ(stored, payload::kFaulted);
  EXPECT_EQ(counters_.interrupts, 1U);  // #BP, by a nested entry
}

TEST_F(HardwareTest, PagesAreMappedWithTheirOwnAccess) {
  ASSERT_TRUE(load());
  EXPECT_EQ(model_->protection_at(payload::kCode), PROT_READ | PROT_EXEC);
  EXPECT_EQ(model_->protection_at(payload::kReadOnly), PROT_READ);
  EXPECT_EQ(model_->protection_at(payload::tcs(0)), PROT_READ | PROT_WRITE);
  EXPECT_EQ(model_->protection_at(payload::kData), PROT_READ | PROT_WRITE);
  EXPECT_EQ(model_->protection_at(payload::tcs(0) + 0x4000), PROT_NONE);  // a guard stays closed
  EXPECT_EQ(model_->protection_at(payload::kFree), PROT_READ | PROT_WRITE | PROT_EXEC);
  EXPECT_EQ(model_->protection_at(0x8000), -1);
}

TEST_F(HardwareTest, WithoutEdmmUnusedRangesStayClosed) {
  ASSERT_TRUE(load({.has_sgx2 = false}));
  EXPECT_EQ(model_->protection_at(payload::kFree), PROT_NONE);
  EXPECT_EQ(device_->augment(payload::kFree, 0x1000), ENODEV);
  EXPECT_EQ(device_->restrict_permissions(payload::kData, 0x1000, 1), ENODEV);
  EXPECT_EQ(device_->modify_types(payload::kData, 0x1000, sgx::PageType::trim), ENODEV);
  EXPECT_EQ(device_->remove_pages(payload::kData, 0x1000), ENODEV);
}

TEST_F(HardwareTest, ATickFindsTheThreadAtTheAep) {
  call(Op::set_tick, 500, 0);
  std::uint64_t& seen = script_.cell(0);
  const std::size_t loop = script_.here();
  script_.spin(10'000).get(seen, payload::pending_seen).forever(loop);
  ASSERT_TRUE(load());
  run(&seen, host_abi::kPendingTick);
  EXPECT_GE(counters_.interrupts, 1U);
  EXPECT_EQ(seen, host_abi::kPendingTick);
}

// ---- Interrupted and busy requests.

TEST_F(HardwareTest, PartialResultsAreContinued) {
  script_.exit(ExitCode::shutdown, 1);
  const host::Status loaded = load({.stop_after_pages = 1});
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(run().status, 1);
}

TEST_F(HardwareTest, InterruptedAndBusyRequestsAreRepeated) {
  script_.exit(ExitCode::shutdown, 2);
  const host::Status loaded = load({.eintr_first = 5, .ebusy_first = 3});
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(run().status, 2);
}

TEST_F(HardwareTest, ADeviceThatIsBusyForEverIsAnError) {
  EXPECT_EQ(build({.eintr_first = 0xffff'ffff}).error().code, EBUSY);
  auto device = open({.ebusy_first = 0xffff'ffff}).value();
  EXPECT_EQ(device->create(enclave().secs()).error().code, EBUSY);
}

TEST_F(HardwareTest, ConcurrentRequestsWaitForEachOther) {
  ASSERT_TRUE(load());
  model_->options().during_ioctl = [] { std::this_thread::yield(); };
  std::vector<std::thread> threads;
  std::atomic<int> errors = 0;
  for (std::uint64_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 200; ++round) {
        if (device_->restrict_permissions(payload::kData + i * 0x1000, 0x1000, 3) != 0) ++errors;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(errors, 0);
}

// ---- EDMM.

TEST_F(HardwareTest, DynamicPagesComeChangeAndGo) {
  const std::uint64_t page = payload::kFree;
  std::uint64_t& value = script_.cell();
  std::uint64_t& denied = script_.cell();
  const std::uint64_t& added = call(Op::augment, page, 0x3000);
  std::uint64_t accepted[4] = {9, 9, 9, 9};
  for (std::uint64_t i = 0; i < 3; ++i) {
    script_.accept(page + i * 0x1000, sgx::kSecinfoRegRw | sgx::kSecinfoPending, accepted[i]);
  }
  script_.store(page, 55).load(page, value);
  const std::uint64_t& restricted = call(Op::restrict_perm, page, 0x3000, sgx::kSecinfoR);
  script_.accept(page, sgx::kSecinfoRegR | sgx::kSecinfoPr, accepted[3]).store(page, 1, &denied);
  const std::uint64_t& trimmed = call(Op::modify_type, page, 0x3000, 4);
  const std::uint64_t& early = call(Op::remove, page, 0x3000);
  std::uint64_t trims[3] = {9, 9, 9};
  for (std::uint64_t i = 0; i < 3; ++i) {
    script_.accept(page + i * 0x1000, sgx::secinfo_flags(sgx::PageType::trim, 0) | sgx::kSecinfoModified, trims[i]);
  }
  const std::uint64_t& removed = call(Op::remove, page, 0x3000);
  script_.exit(ExitCode::shutdown, 6);
  ASSERT_TRUE(load({.stop_after_pages = 2}));
  model_->options().eagain_first = 3;
  EXPECT_EQ(run().status, 6);
  EXPECT_EQ(added, 0U);
  for (const std::uint64_t result : accepted) EXPECT_EQ(result, 0U);
  for (const std::uint64_t result : trims) EXPECT_EQ(result, 0U);
  EXPECT_EQ(value, 55U);
  EXPECT_EQ(restricted, 0U);
  EXPECT_EQ(denied, payload::kFaulted);
  EXPECT_EQ(trimmed, 0U);
  EXPECT_EQ(static_cast<std::int64_t>(early), -EPERM);
  EXPECT_EQ(removed, 0U);
  const host::DeviceCounters counters = device_->counters();
  EXPECT_EQ(counters.pages_augmented, 3U);
  EXPECT_EQ(counters.pages_restricted, 3U);
  EXPECT_EQ(counters.pages_retyped, 3U);
  EXPECT_EQ(counters.pages_removed, 3U);
}

TEST_F(HardwareTest, AFaultInTheEnclaveAddsAPageToo) {
  const std::uint64_t page = payload::kFree + 0x7000;
  std::uint64_t& before = script_.cell();
  std::uint64_t& accepted = script_.cell();
  std::uint64_t& value = script_.cell();
  // The driver adds the page on the fault; it is PENDING, so the access still fails until it is accepted.
  script_.load(page, before).accept(page, sgx::kSecinfoRegRw | sgx::kSecinfoPending, accepted).load(page, value);
  script_.exit(ExitCode::shutdown);
  ASSERT_TRUE(load());
  run();
  EXPECT_EQ(before, payload::kFaulted);
  EXPECT_EQ(accepted, 0U);
  EXPECT_EQ(value, 0U);
}

TEST_F(HardwareTest, ATcsIsMappedWithoutExecuteAndOpenAgainAfterRemoval) {
  const std::uint64_t page = payload::kFree;
  std::uint64_t accepted = 9;
  std::uint64_t trimmed = 9;
  std::uint64_t became = 9;
  call(Op::augment, page, 0x1000);
  script_.accept(page, sgx::kSecinfoRegRw | sgx::kSecinfoPending, accepted);
  const std::uint64_t& typed = call(Op::modify_type, page, 0x1000, 1);
  script_.accept(page, sgx::kSecinfoTcs | sgx::kSecinfoModified, became);
  script_.exit(ExitCode::shutdown);
  ASSERT_TRUE(load());
  run();
  EXPECT_EQ(typed, 0U);
  EXPECT_EQ(accepted, 0U);
  EXPECT_EQ(model_->protection_at(page), PROT_READ | PROT_WRITE);
  EXPECT_EQ(model_->protection_at(page + 0x1000), PROT_READ | PROT_WRITE | PROT_EXEC);
  static_cast<void>(trimmed);
}

TEST_F(HardwareTest, ARemovedPageOfTheFileIsOpenedForAnything) {
  const std::uint64_t trim = sgx::secinfo_flags(sgx::PageType::trim, 0) | sgx::kSecinfoModified;
  std::uint64_t accepted[2] = {9, 9};
  const std::uint64_t& first = call(Op::modify_type, payload::kData + 0x1000, 0x2000, 4);
  script_.accept(payload::kData + 0x1000, trim, accepted[0]).accept(payload::kData + 0x2000, trim, accepted[1]);
  const std::uint64_t& removed = call(Op::remove, payload::kData + 0x1000, 0x2000);
  script_.exit(ExitCode::shutdown);
  ASSERT_TRUE(load());
  run();
  EXPECT_EQ(first, 0U);
  EXPECT_EQ(accepted[0] | accepted[1], 0U);
  EXPECT_EQ(removed, 0U);
  EXPECT_EQ(model_->protection_at(payload::kData), PROT_READ | PROT_WRITE);
  EXPECT_EQ(model_->protection_at(payload::kData + 0x1000), PROT_READ | PROT_WRITE | PROT_EXEC);
  EXPECT_EQ(model_->protection_at(payload::kData + 0x3000), PROT_READ | PROT_WRITE);
}

TEST_F(HardwareTest, OutOfEpcIsReportedByAugment) {
  ASSERT_TRUE(load({.fail_touch_after = 2}));
  EXPECT_EQ(device_->augment(payload::kFree, 0x4000), ENOMEM);
  EXPECT_EQ(device_->counters().pages_augmented, 2U);
}

TEST_F(HardwareTest, BadRangesAreRefusedBeforeTheDriver) {
  EXPECT_EQ(open().value()->augment(payload::kFree, 0x1000), EINVAL);  // not initialised
  ASSERT_TRUE(load());
  const std::uint32_t before = model_->requests();
  for (const auto& [offset, length] : {std::pair{payload::kFree + 1, std::uint64_t{0x1000}},
                                       {payload::kFree, std::uint64_t{0x800}},
                                       {payload::kFree, std::uint64_t{0}},
                                       {payload::kSize, std::uint64_t{0x1000}},
                                       {payload::kSize - 0x1000, std::uint64_t{0x2000}},
                                       {~std::uint64_t{0xfff}, std::uint64_t{0x2000}}}) {
    EXPECT_EQ(device_->augment(offset, length), EINVAL);
    EXPECT_EQ(device_->restrict_permissions(offset, length, 1), EINVAL);
    EXPECT_EQ(device_->modify_types(offset, length, sgx::PageType::trim), EINVAL);
    EXPECT_EQ(device_->remove_pages(offset, length), EINVAL);
  }
  EXPECT_EQ(model_->requests(), before);
}

TEST_F(HardwareTest, TheDriversRefusalsComeThrough) {
  ASSERT_TRUE(load());
  EXPECT_EQ(device_->restrict_permissions(payload::kData, 0x1000, sgx::kSecinfoW), EINVAL);
  EXPECT_EQ(device_->restrict_permissions(payload::kFree, 0x1000, sgx::kSecinfoR), EFAULT);
  EXPECT_EQ(device_->restrict_permissions(payload::tcs(0), 0x1000, sgx::kSecinfoR), EINVAL);
  EXPECT_EQ(device_->modify_types(payload::kData, 0x1000, sgx::PageType::reg), EINVAL);
  EXPECT_EQ(device_->modify_types(payload::kReadOnly, 0x1000, sgx::PageType::tcs), EPERM);
  EXPECT_EQ(device_->remove_pages(payload::kData, 0x1000), EPERM);
  EXPECT_EQ(device_->remove_pages(payload::kFree, 0x1000), EFAULT);
}

// ---- Failures while building.

TEST_F(HardwareTest, ARangeThatCannotBeReservedIsExplained) {
  const std::pair<int, std::string_view> cases[] = {
      {EEXIST, "something of this process"}, {EPERM, "vm.mmap_min_addr"}, {ENOMEM, "cannot reserve"}};
  for (const auto& [error, text] : cases) {
    auto device = open({.fail_reserve = error}).value();
    const host::Status status = device->create(enclave().secs());
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, error);
    EXPECT_NE(status.error().message.find(text), std::string::npos) << status.error().message;
  }
  auto device = open({.mmap_min_addr = 0x20000}).value();
  EXPECT_EQ(device->create(enclave().secs()).error().code, EPERM);
}

TEST_F(HardwareTest, BadSecsAreRefused) {
  sgx::Secs secs = enclave().secs();
  secs.base = secs.size;
  EXPECT_EQ(open().value()->create(secs).error().code, EINVAL);
  secs = enclave().secs();
  secs.size -= 1;
  EXPECT_EQ(open().value()->create(secs).error().code, EINVAL);
  secs.size = 0x8000;
  EXPECT_EQ(open().value()->create(secs).error().code, EINVAL);
  secs = enclave().secs();
  secs.ssa_frame_pages = 0;
  EXPECT_EQ(open().value()->create(secs).error().code, EIO);
}

TEST_F(HardwareTest, ADeviceHoldsOneEnclave) {
  ASSERT_TRUE(load());
  EXPECT_EQ(device_->create(enclave().secs()).error().code, EBUSY);
  EXPECT_EQ(device_->add_pages(enclave().batches()[0]).error().code, EINVAL);
  EXPECT_EQ(device_->init(enclave().sigstruct()).error().code, EINVAL);
}

TEST_F(HardwareTest, NothingHappensBeforeCreation) {
  auto device = open().value();
  EXPECT_EQ(device->add_pages(enclave().batches()[0]).error().code, EINVAL);
  EXPECT_EQ(device->init(enclave().sigstruct()).error().code, EINVAL);
  EXPECT_EQ(device->enter_function(), nullptr);
}

TEST_F(HardwareTest, PagesThatCannotBeAddedAreNamed) {
  const host::Status full = build({.epc_pages = 3});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ENOMEM);
  EXPECT_NE(full.error().message.find("EPC"), std::string::npos);
  EXPECT_NE(full.error().message.find("0x202000"), std::string::npos) << full.error().message;
  const auto source = reinterpret_cast<std::uint64_t>(enclave().batches()[0].source);
  const host::Status noexec = build({.noexec_source = source});
  ASSERT_FALSE(noexec);
  EXPECT_EQ(noexec.error().code, EACCES);
  EXPECT_NE(noexec.error().message.find("noexec"), std::string::npos);
  ASSERT_TRUE(build());
  EXPECT_EQ(device_->add_pages(enclave().batches()[0]).error().code, EBUSY);  // twice
  host::PageBatch zeros = {.offset = payload::kFree, .length = 0x100'000, .source = nullptr,
                           .secinfo_flags = sgx::kSecinfoRegRw, .measure = false};
  EXPECT_TRUE(device_->add_pages(zeros));  // more than one request's worth
  zeros.offset = payload::kSize - 0x1000;
  EXPECT_EQ(device_->add_pages(zeros).error().code, EINVAL);
}

TEST_F(HardwareTest, AWrongSignatureIsRefused) {
  ASSERT_TRUE(build());
  sgx::Sigstruct wrong = enclave().sigstruct();
  wrong.enclave_hash[0] ^= 1;
  EXPECT_EQ(device_->init(wrong).error().code, EPERM);
  ASSERT_TRUE(build({.old_einit_result = true}));
  const host::Status old = device_->init(wrong);
  ASSERT_FALSE(old);
  EXPECT_NE(old.error().message.find("INVALID_"), std::string::npos) << old.error().message;
  ASSERT_TRUE(build());
  wrong.vendor = 7;
  EXPECT_EQ(device_->init(wrong).error().code, EINVAL);
}

TEST_F(HardwareTest, AnEnclaveCannotBeMappedWhereItMayNotExecute) {
  const host::Status noexec = load({.dev_is_noexec = true});
  ASSERT_FALSE(noexec);
  EXPECT_NE(noexec.error().message.find("remount,exec"), std::string::npos);
  const host::Status personality = load({.has_sgx2 = false, .read_implies_exec = true});
  ASSERT_FALSE(personality);
  EXPECT_EQ(personality.error().code, EACCES);
}

TEST_F(HardwareTest, AMappingThatFailsAfterInitIsReported) {
  ASSERT_TRUE(build({.has_sgx2 = false}));
  model_->options().dev_is_noexec = true;
  EXPECT_EQ(device_->init(enclave().sigstruct()).error().code, EPERM);
}

TEST_F(HardwareTest, TheProvisioningKeyNeedsItsDevice) {
  sgx::Secs secs = enclave().secs();
  secs.attributes.flags |= sgx::kAttrProvisionKey;
  auto device = open().value();
  EXPECT_TRUE(device->create(secs));
  device = open({.may_provision = false}).value();
  const host::Status refused = device->create(secs);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("sgx_prv"), std::string::npos);
  device = open({.refuses_provisioning = true}).value();
  EXPECT_EQ(device->create(secs).error().code, EINVAL);
}

TEST_F(HardwareTest, ADriverThatMakesNoSenseIsAnIoError) {
  ASSERT_TRUE(load());
  model_->options().lies_about_count = true;
  EXPECT_EQ(device_->remove_pages(payload::kData, 0x1000), EIO);
  model_->options().lies_about_count = false;
  model_->options().odd_result = 13;
  EXPECT_EQ(device_->remove_pages(payload::kData, 0x1000), EIO);
}

TEST_F(HardwareTest, PagesThatAreBeingReclaimedAreTriedAgain) {
  ASSERT_TRUE(load());
  model_->options().eagain_first = 2;
  EXPECT_EQ(device_->restrict_permissions(payload::kData, 0x2000, sgx::kSecinfoR), 0);
  model_->options().eagain_first = 2;
  EXPECT_EQ(device_->modify_types(payload::kData + 0x4000, 0x2000, sgx::PageType::trim), 0);
  model_->options().eagain_first = 2;
  EXPECT_EQ(device_->remove_pages(payload::kData + 0x4000, 0x2000), EPERM);  // not accepted: that comes after the two
  EXPECT_EQ(model_->options().eagain_first, 0U);
}

// ---- Signals.

TEST_F(HardwareTest, SignalsAreChecked) {
  ASSERT_TRUE(load());
  EXPECT_EQ(device_->install_signal(0, nullptr).error().code, EINVAL);
  EXPECT_EQ(device_->install_signal(65, nullptr).error().code, EINVAL);
  model_->options().fail_signal_action = EINVAL;
  EXPECT_EQ(device_->install_signal(SIGUSR2, nullptr).error().code, EINVAL);
}

TEST_F(HardwareTest, OnlyTheStateAfterAnAexIsTheAep) {
  ASSERT_TRUE(load());
  ucontext_t context = {};
  auto& registers = context.uc_mcontext.gregs;
  registers[REG_RAX] = 3;
  registers[REG_RBX] = static_cast<greg_t>(payload::tcs(0));
  registers[REG_RCX] = registers[REG_RIP] = 0x1234;
  EXPECT_TRUE(device_->is_at_aep(context, payload::tcs(0)));
  EXPECT_FALSE(device_->is_at_aep(context, payload::tcs(1)));
  registers[REG_RCX] = 0x1235;
  EXPECT_FALSE(device_->is_at_aep(context, payload::tcs(0)));
  registers[REG_RCX] = 0x1234;
  registers[REG_RAX] = 2;  // about to do EENTER
  EXPECT_FALSE(device_->is_at_aep(context, payload::tcs(0)));
}

}  // namespace
