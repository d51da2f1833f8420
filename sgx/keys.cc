#include "sgx/keys.h"

#include <openssl/aes.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <bit>

// The low-level AES of OpenSSL: its general interface loads and searches the tables of a provider first, which costs a program's first
// report two milliseconds, in a signal handler.
#pragma clang diagnostic ignored "-Wdeprecated-declarations"

namespace sgx {
namespace {

// What a key can depend on. A field that the key name or the policy leaves out is zero. `version` keeps records of a future
// layout apart.
struct KeyDependencies {
  std::uint32_t version = 1;
  std::uint16_t key_name = 0;
  std::uint16_t key_policy = 0;
  std::uint16_t isv_prod_id = 0;
  std::uint16_t isv_svn = 0;
  std::uint16_t config_svn = 0;
  std::uint8_t cet_attributes = 0;
  std::uint8_t cet_attributes_mask = 0;
  std::uint32_t miscselect = 0;
  std::uint32_t miscmask = 0;
  Attributes attributes{};
  Attributes attribute_mask{};
  Hash mrenclave{};
  Hash mrsigner{};
  ConfigId config_id{};
  Id128 isv_family_id{};
  Id128 isv_ext_prod_id{};
  Cpusvn cpusvn{};
  Key128 owner_epoch{};
  std::array<std::uint8_t, 32> key_id{};
};
static_assert(std::has_unique_object_representations_v<KeyDependencies>);

template <std::size_t n>
bool all_zero(const std::array<std::uint8_t, n>& bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

Result<Key128> derive(const Device& device, const KeyDependencies& record) {
  return aes128_cmac(device.root_key, std::bit_cast<std::array<std::uint8_t, sizeof(KeyDependencies)>>(record));
}

// The report key depends on the target alone, so that EREPORT (from TARGETINFO) and EGETKEY (from SECS) agree.
KeyDependencies report_key_record(const Device& device, const Targetinfo& target, const std::array<std::uint8_t, 32>& key_id) {
  KeyDependencies record;
  record.key_name = static_cast<std::uint16_t>(KeyName::report);
  record.config_svn = target.config_svn;
  record.cet_attributes = target.cet_attributes;
  record.miscselect = target.miscselect;
  record.attributes = target.attributes;
  record.mrenclave = target.mrenclave;
  record.config_id = target.config_id;
  record.cpusvn = device.cpusvn;
  record.owner_epoch = device.owner_epoch;
  record.key_id = key_id;
  return record;
}

// The fields of the sealing and provisioning family that do not depend on the policy.
KeyDependencies masked_record(const EnclaveIdentity& identity, const Keyrequest& request) {
  constexpr std::uint64_t kAlwaysIncluded = kAttrInit | kAttrDebug;  // a debug enclave never gets a production key
  KeyDependencies record;
  record.key_name = request.key_name;
  record.isv_prod_id = identity.isv_prod_id;
  record.isv_svn = request.isv_svn;
  record.attributes.flags = (request.attribute_mask.flags | kAlwaysIncluded) & identity.attributes.flags;
  record.attributes.xfrm = request.attribute_mask.xfrm & identity.attributes.xfrm;
  record.miscselect = request.misc_mask & identity.miscselect;
  record.cet_attributes = request.cet_attributes_mask & identity.cet_attributes;
  record.cpusvn = request.cpusvn;
  return record;
}

void include_masks(KeyDependencies& record, const Keyrequest& request) {
  record.attribute_mask = request.attribute_mask;
  record.miscmask = ~request.misc_mask;
  record.cet_attributes_mask = static_cast<std::uint8_t>(~request.cet_attributes_mask);
}

// KEYPOLICY's KSS bits, which SEAL and PROVISION_SEAL obey.
void apply_kss_policy(KeyDependencies& record, const EnclaveIdentity& identity, const Keyrequest& request) {
  const std::uint16_t policy = request.key_policy;
  record.key_policy = policy;
  if ((policy & kPolicyNoIsvProdId) != 0) record.isv_prod_id = 0;
  if ((policy & kPolicyConfigId) != 0) {
    record.config_id = identity.config_id;
    record.config_svn = request.config_svn;
  }
  if ((policy & kPolicyIsvFamilyId) != 0) record.isv_family_id = identity.isv_family_id;
  if ((policy & kPolicyIsvExtProdId) != 0) record.isv_ext_prod_id = identity.isv_ext_prod_id;
}

KeyDependencies seal_record(const Device& device, const EnclaveIdentity& identity, const Keyrequest& request) {
  KeyDependencies record = masked_record(identity, request);
  include_masks(record, request);
  apply_kss_policy(record, identity, request);
  if ((request.key_policy & kPolicyMrenclave) != 0) record.mrenclave = identity.mrenclave;
  if ((request.key_policy & kPolicyMrsigner) != 0) record.mrsigner = identity.mrsigner;
  record.owner_epoch = device.owner_epoch;
  record.key_id = request.key_id;
  return record;
}

// Provisioning keys belong to the signer and survive a change of owner: no epoch, no KEYID.
KeyDependencies provision_record(const EnclaveIdentity& identity, const Keyrequest& request) {
  KeyDependencies record = masked_record(identity, request);
  include_masks(record, request);
  record.mrsigner = identity.mrsigner;
  return record;
}

KeyDependencies provision_seal_record(const EnclaveIdentity& identity, const Keyrequest& request) {
  KeyDependencies record = provision_record(identity, request);
  apply_kss_policy(record, identity, request);
  return record;
}

KeyDependencies launch_record(const Device& device, const EnclaveIdentity& identity, const Keyrequest& request) {
  KeyDependencies record = masked_record(identity, request);
  record.mrsigner = identity.mrsigner;
  record.owner_epoch = device.owner_epoch;
  record.key_id = request.key_id;
  return record;
}

// Requests that #GP whatever the key is.
bool request_malformed(const EnclaveIdentity& identity, const Keyrequest& request) {
  if (request.reserved1 != 0 || !all_zero(request.reserved2)) return true;
  if ((request.key_policy & ~kPolicyDefined) != 0) return true;
  const bool kss = (identity.attributes.flags & kAttrKss) != 0;
  return !kss && ((request.key_policy & kPolicyKss) != 0 || request.config_svn != 0);
}

// Everything but the report key is bound to security versions that the requester may not exceed.
SgxError check_versions(const Device& device, const EnclaveIdentity& identity, const Keyrequest& request) {
  if (!cpusvn_allowed(request.cpusvn, device.cpusvn)) return SgxError::invalid_cpusvn;
  return request.isv_svn > identity.isv_svn ? SgxError::invalid_isvsvn : SgxError::success;
}

// AES-CMAC (SP 800-38B).
constexpr std::size_t kAesBlock = 16;

void mix(Key128& state, Bytes block) {
  for (std::size_t i = 0; i < block.size(); ++i) state[i] = static_cast<std::uint8_t>(state[i] ^ block[i]);
}

// Times x in GF(2^128), without a branch on secret bits.
Key128 doubled(const Key128& block) {
  Key128 out{};
  std::uint8_t carry = 0;
  for (std::size_t i = block.size(); i-- > 0;) {
    out[i] = static_cast<std::uint8_t>(block[i] << 1 | carry);
    carry = block[i] >> 7;
  }
  out.back() = static_cast<std::uint8_t>(out.back() ^ (0x87 & -carry));
  return out;
}

}  // namespace

Result<Key128> aes128_cmac(const Key128& key, Bytes message) {
  AES_KEY schedule;
  if (AES_set_encrypt_key(key.data(), 128, &schedule) != 0) return fail("AES-CMAC failed in the crypto library");
  Key128 last{};
  AES_encrypt(last.data(), last.data(), &schedule);
  // The last block has a subkey of its own: K1 if the message ends with it, K2 if it is padded.
  last = doubled(last);
  const std::size_t tail = message.size() % kAesBlock;
  const bool padded = tail != 0 || message.empty();
  if (padded) {
    last = doubled(last);
    last[tail] ^= 0x80;
  }
  const std::size_t before = message.size() - (padded ? tail : kAesBlock);
  Key128 state{};
  for (std::size_t at = 0; at < before; at += kAesBlock) {
    mix(state, message.subspan(at, kAesBlock));
    AES_encrypt(state.data(), state.data(), &schedule);
  }
  mix(state, message.subspan(before));
  mix(state, last);
  AES_encrypt(state.data(), state.data(), &schedule);
  OPENSSL_cleanse(&schedule, sizeof(schedule));
  return state;
}

bool cpusvn_allowed(const Cpusvn& requested, const Cpusvn& current) {
  return std::ranges::equal(requested, current, [](std::uint8_t a, std::uint8_t b) { return a <= b; });
}

LeafResult<Key128> egetkey(const Device& device, const EnclaveIdentity& identity, const Keyrequest& request) {
  if (request_malformed(identity, request)) return std::unexpected(LeafFailure::gp());
  const auto name = static_cast<KeyName>(request.key_name);
  const auto require = [&](std::uint64_t attribute) {
    return (identity.attributes.flags & attribute) != 0 ? check_versions(device, identity, request) : SgxError::invalid_attribute;
  };
  KeyDependencies record;
  SgxError error = SgxError::success;
  switch (name) {
    case KeyName::report:
      record = report_key_record(device, target_of(identity), request.key_id);
      break;
    case KeyName::seal:
      error = check_versions(device, identity, request);
      if (error == SgxError::success && request.config_svn > identity.config_svn) error = SgxError::invalid_isvsvn;
      record = seal_record(device, identity, request);
      break;
    case KeyName::provision:
      error = require(kAttrProvisionKey);
      record = provision_record(identity, request);
      break;
    case KeyName::provision_seal:
      error = require(kAttrProvisionKey);
      record = provision_seal_record(identity, request);
      break;
    case KeyName::einit_token:
      error = require(kAttrEinitTokenKey);
      record = launch_record(device, identity, request);
      break;
    default:
      error = SgxError::invalid_keyname;
  }
  if (error != SgxError::success) return std::unexpected(LeafFailure::error(error));
  const auto key = derive(device, record);
  if (!key) return std::unexpected(LeafFailure::gp());
  return *key;
}

Targetinfo target_of(const EnclaveIdentity& identity) {
  Targetinfo target{};
  target.mrenclave = identity.mrenclave;
  target.attributes = identity.attributes;
  target.cet_attributes = identity.cet_attributes;
  target.config_svn = identity.config_svn;
  target.miscselect = identity.miscselect;
  target.config_id = identity.config_id;
  return target;
}

Result<Key128> report_mac(const Key128& report_key, const ReportBody& body) {
  return aes128_cmac(report_key, std::bit_cast<std::array<std::uint8_t, sizeof(ReportBody)>>(body));
}

LeafResult<Report> ereport(const Device& device, const EnclaveIdentity& identity, const Targetinfo& target,
                           const Reportdata& data) {
  if (target.reserved1 != 0 || !all_zero(target.reserved2) || !all_zero(target.reserved3)) {
    return std::unexpected(LeafFailure::gp());
  }
  Report report{};
  ReportBody& body = report.body;
  body.cpusvn = device.cpusvn;
  body.miscselect = identity.miscselect;
  body.cet_attributes = identity.cet_attributes;
  body.isv_ext_prod_id = identity.isv_ext_prod_id;
  body.attributes = identity.attributes;
  body.mrenclave = identity.mrenclave;
  body.mrsigner = identity.mrsigner;
  body.config_id = identity.config_id;
  body.isv_prod_id = identity.isv_prod_id;
  body.isv_svn = identity.isv_svn;
  body.config_svn = identity.config_svn;
  body.isv_family_id = identity.isv_family_id;
  body.report_data = data;
  report.key_id = device.report_key_id;
  const auto key = derive(device, report_key_record(device, target, report.key_id));
  if (!key) return std::unexpected(LeafFailure::gp());
  const auto mac = report_mac(*key, body);
  if (!mac) return std::unexpected(LeafFailure::gp());
  report.mac = *mac;
  return report;
}

bool check_report(const Device& device, const EnclaveIdentity& target, const Report& report) {
  const auto key = derive(device, report_key_record(device, target_of(target), report.key_id));
  if (!key) return false;
  const auto mac = report_mac(*key, report.body);
  return mac && CRYPTO_memcmp(mac->data(), report.mac.data(), mac->size()) == 0;
}

}  // namespace sgx
